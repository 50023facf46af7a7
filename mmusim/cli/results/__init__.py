"""Look at results"""
