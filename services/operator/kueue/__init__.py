"""Kueue: queues that pods are sent to, the quota that these leave, and the gates of the pods."""
