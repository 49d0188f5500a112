#!/bin/sh
# Prints a Python that can run the book (3.11 to 3.13), or says what is missing. PYTHON names one to use.
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        command -v "$candidate"
        exit 0
    fi
done
{
    echo "This book needs Python 3.11, 3.12 or 3.13; ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true)."
    echo "Install one of the three with its venv module, or name one: make book PYTHON=/path/to/python3.12"
} >&2
exit 1
