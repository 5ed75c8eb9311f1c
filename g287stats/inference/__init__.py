"""Tests of estimates: one file a method."""
