"""Covers at web addresses are brought into a folder before anything looks at them.

    `_pass`      one pass over all addresses, through Ray Data
    `_client`    one address: time-outs, tries, limits
    `_folder`    what was brought, and what will never come; outlives the store

Waiting for servers takes no CPU; so this is a pass of its own, with many addresses at once on a
fraction of a CPU, rather than a part of decoding.
"""

from covertune.data_pipeline.downloads._folder import read_download
from covertune.data_pipeline.downloads._pass import DownloadCounts, download_all
from covertune.data_pipeline.downloads._settings import DownloadSettings

__all__ = ["DownloadCounts", "DownloadSettings", "download_all", "read_download"]
