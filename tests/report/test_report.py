"""What a report holds: volumes, examples, colours, the other formats, and odd records."""

from __future__ import annotations

import csv
import io
import itertools
import json
import struct
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests_records import answered, recorded
from wattune.advice import Needs
from wattune.cli.reporting import report as verb
from wattune.compare import compare
from wattune.compare.usage import Usage
from wattune.errors import CannotRun, InputError, WattuneError
from wattune.measure.store import write_record
from wattune.report import Report, report_from, report_of
from wattune.report.colours import DARK, DARK_PAPER, LIGHT, LIGHT_PAPER, MARKS, numbers_of
from wattune.report.texts import to_csv, to_json, to_markdown
from wattune.report.volumes import grid_of, spans_of, told
