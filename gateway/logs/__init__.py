"""What is written into logs: whole lines, bounded in number, and the audit log's file."""
