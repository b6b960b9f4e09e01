"""Figures of this machine: `make bench`. Everything that is compared is measured in the same run, by turns."""
