"""What the processes of one gateway have to do with each other, and with time: locks, who lives,
who leads, what runs again and again, and who hears of changes. Knows no sandbox and no table.
"""
