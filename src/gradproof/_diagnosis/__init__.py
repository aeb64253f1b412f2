"""Naming the cause of a wrong gradient from measurements that were made anyway; no evaluation is spent here.

A file imports from those before it only. Order: mistakes, mutations, evidence, telling, fitting, frames, residue,
decoding, causes, parts, naming.
"""
