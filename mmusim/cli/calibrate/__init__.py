"""Measure what operations cost"""
