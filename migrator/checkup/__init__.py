"""What `segue doctor` looks at: findings, and the checks that make them. Everything here only reads."""
