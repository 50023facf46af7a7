"""Measure the simulator"""
