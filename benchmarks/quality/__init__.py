"""How well the policies choose, beside what people use today: simulated shops whose truth is known, and digits.

`worlds`, `trials` and `digits` run in the competitors' environment as well: numpy is all they may import.
"""
