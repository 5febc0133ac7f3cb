"""Finds covers, wherever they lie and however they are listed.

    a folder per genre                  `_folders`
      with tables beside the images       `_folder_keys`, as in the Kaggle archive "Book Covers"
    BookCover30 and BookCover32         `_bookcover`
    a table of paths or addresses       `_tables`
      its file                            `_table_files`    CSV, TSV, Parquet, JSON lines
      its columns                         `_columns`
      the files its paths mean            `_trailing`

Only names are looked at here; whether a file is a picture shows when it is decoded.
"""

from covertune.data_pipeline.sources._columns import GENRE_COLUMNS, IMAGE_COLUMNS, KEY_COLUMNS
from covertune.data_pipeline.sources._find import find_sources
from covertune.data_pipeline.sources._source import FoundSources, Source, natural_key

__all__ = [
    "GENRE_COLUMNS",
    "IMAGE_COLUMNS",
    "KEY_COLUMNS",
    "FoundSources",
    "Source",
    "find_sources",
    "natural_key",
]
