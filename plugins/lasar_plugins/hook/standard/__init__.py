"""Hooks that end training stages early."""
