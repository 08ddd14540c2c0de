"""Trains in exact integers and proves that training in zero knowledge."""
