#!/bin/sh
# Prints a Python that runs the book (3.11 to 3.14), or a newer one with a warning, or says what is
# missing. PYTHON names one to use.
candidates=${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}

# find OLDEST NEWEST: the first candidate between the two, by its minor version
find() {
    for candidate in $candidates; do
        if "$candidate" -c "import sys; sys.exit(not (3, $1) <= sys.version_info[:2] <= (3, $2))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

find 11 14 && exit 0
if newer=$(find 15 99); then
    echo "warning: this book is tested with Python 3.11 to 3.14; $("$newer" --version) is newer, and may do" >&2
    echo "$newer"
    exit 0
fi
{
    echo "This book needs Python 3.11 to 3.14; ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true)."
    echo "Install one of them with its venv module, or name one: make book PYTHON=/path/to/python3.12"
} >&2
exit 1
