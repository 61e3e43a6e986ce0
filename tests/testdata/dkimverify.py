"""usage: dkimverify.py KEYS MESSAGE...

Verifies every DKIM signature of each message by dkimpy. KEYS is a file of lines
"NAME TXT-RECORD": no name is looked up anywhere else. Prints for each message its file and,
for each signature, "DOMAIN/SELECTOR/ALGORITHM=good" or "...=bad".
"""
import sys

import dkim

keys = dict(line.rstrip("\n").encode().split(b" ", 1) for line in open(sys.argv[1]))


def lookup(name, timeout=5):
    return keys.get(name.rstrip(b".") if isinstance(name, bytes) else name.rstrip(".").encode())


for path in sys.argv[2:]:
    message = open(path, "rb").read()
    words = [path]
    count = message.split(b"\r\n\r\n", 1)[0].lower().count(b"dkim-signature:")
    for i in range(count):
        d = dkim.DKIM(message, minkey=1024)
        try:
            good = d.verify(idx=i, dnsfunc=lookup)
            why = ""
        except dkim.DKIMException as e:
            good, why = False, " (%s)" % e
        f = d.signature_fields
        words.append("%s/%s/%s=%s%s" % (f.get(b"d", b"?").decode(), f.get(b"s", b"?").decode(), f.get(b"a", b"?").decode(), "good" if good else "bad", why))
    print(" ".join(words))
