"""Naming the cause of a wrong gradient from measurements that were made anyway; no evaluation is spent here."""

from gradproof._diagnosis._evidence import Evidence as Evidence
from gradproof._diagnosis._evidence import Finding as Finding
from gradproof._diagnosis._evidence import Probe as Probe
from gradproof._diagnosis._fitting import probes_needed as probes_needed
from gradproof._diagnosis._naming import diagnose as diagnose
