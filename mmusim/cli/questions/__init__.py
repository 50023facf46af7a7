"""Answer a question"""
