"""Ray and the devices it runs on."""
