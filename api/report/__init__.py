"""The report: one HTML file about a run or a plan, for people; it asks nothing of a network and proves nothing."""
