"""Where we differ from NSD 4.6 and Knot 3.2, and why: (category, peer, what: ours/theirs, reason).

The first three are patterns. Each must occur, and what is not here must not. An RFC by its section is why ours is right, or
why both are.
"""

HEADER_ONLY = "RFC 1035, section 4.1.1: FORMERR says that it could not be read, so ours repeats nothing of it"
UNREADABLE = "RFC 1035, section 4.1.1: FORMERR is for what can't be read; Knot says nothing, which no RFC forbids"
NSD_BARE = (
    "RFC 1035, section 4.1.1: NSD sends the header alone; ours repeats the question, as RFC 5452, section 9.1 wants"
)
RECORDS = "RFC 1035, section 4.1.1: a query may have records; ours ignores those that do not belong to it, as Knot does"
BARE_FLAGS = (
    "RFC 1035, section 4.1.1: RD is copied into the response, errors too; NSD clears it in those that it can't read"
)
ANY = "RFC 8482, section 4.1: one RRset is a whole answer to ANY, whichever it is; ours is addresses"
NO_TRANSFER = "RFC 5936, section 2.2.1: REFUSED to who may not; Knot calls that NOTAUTH"
NO_NOTIFY = "RFC 1996 names no code for a server that is nobody's secondary; ours refuses"
NO_UPDATE = "RFC 2136, section 3.3: REFUSED to who may not"
NO_CLASS_ANY = "RFC 1035, section 4.1.1: REFUSED is a server's choice; its names are of class IN, and nobody asks so"

ROWS = [
    ("ANY*", "nsd", "answer */SOA*", ANY),
    ("ANY*", "knot", "answer AAAA*1/NS*1", ANY),
    ("ANY, cut", "nsd", "flags qr aa tc rd/qr aa rd", ANY),
    ("AXFR", "knot", "rcode REFUSED/NOTAUTH", NO_TRANSFER),
    ("IXFR", "knot", "rcode REFUSED/NOTAUTH", NO_TRANSFER),
    ("IXFR by UDP", "knot", "rcode REFUSED/NOTAUTH", NO_TRANSFER),
    (
        "AXFR by UDP",
        "*",
        "rcode REFUSED/NOTIMP",
        "RFC 5936, section 4.2: there is no AXFR by UDP, and no code for it either",
    ),
    ("AXFR by UDP, not ours", "*", "rcode NOTAUTH/NOTIMP", "RFC 5936, sections 2.2.1 and 4.2, as above"),
    ("NOTIFY*", "knot", "rcode REFUSED/NOTAUTH", NO_NOTIFY),
    ("NOTIFY*, not ours", "nsd", "rcode REFUSED/NXDOMAIN", NO_NOTIFY),
    (
        "NOTIFY*",
        "nsd",
        "flags qr/qr aa",
        "RFC 1996, section 3.7 to 3.12: AA is set by who answers for a zone; ours refuses to",
    ),
    ("NOTIFY*", "nsd", "question echoed/left out", NSD_BARE),
    (
        "UPDATE*",
        "nsd",
        "rcode NOTAUTH/NOTIMP",
        "RFC 2136, section 3.1: NOTAUTH for a zone of others; NSD knows no UPDATE (section 2.2)",
    ),
    ("UPDATE*", "nsd", "rcode REFUSED/NOTIMP", NO_UPDATE + "; NSD knows no UPDATE (section 2.2)"),
    ("UPDATE*", "knot", "rcode REFUSED/NOTAUTH", NO_UPDATE + "; Knot calls that NOTAUTH"),
    ("UPDATE*", "nsd", "question echoed/left out", NSD_BARE),
    (
        "EDNS of another version*",
        "nsd",
        "edns 1232 do/1232",
        "RFC 3225, section 3: DO MUST be copied into the response",
    ),
    ("EDNS size*", "knot", "rcode */FORMERR", "RFC 6891, section 6.2.3: less than 512 MUST be treated as 512"),
    ("OPT of another owner", "knot", "rcode FORMERR/NOERROR", "RFC 6891, section 6.1.2: its owner MUST be the root"),
    ("OPT*", "knot", "question left out/echoed", HEADER_ONLY),
    ("two OPT records", "knot", "question left out/echoed", HEADER_ONLY),
    ("TSIG of nobody", "knot", "question left out/echoed", HEADER_ONLY),
    (
        "TSIG of nobody",
        "nsd",
        "rcode FORMERR/NOTAUTH",
        "RFC 8945, section 5.2: BADKEY is for who knows TSIG; ours knows no key and no TSIG",
    ),
    ("a bit turned", "knot", "question left out/echoed", HEADER_ONLY),
    ("a bit turned", "knot", "reply FORMERR/none", UNREADABLE),
    (
        "a bit turned",
        "knot",
        "rcode NOERROR/FORMERR",
        "RFC 1035 forbids no bytes after the last record that is counted; NSD minds them no more",
    ),
    ("a bit turned", "nsd", "flags qr rd/qr", BARE_FLAGS),
    ("a bit turned", "nsd", "question echoed/left out", NSD_BARE),
    (
        "a bit turned",
        "nsd",
        "edns 1232/1232 EDE 21",
        "RFC 8914, section 3: which of the codes are told is a server's choice",
    ),
    ("a code in the query", "nsd", "rcode NOERROR/FORMERR", "RFC 1035, section 4.1.1: RCODE is a part of responses"),
    ("a code in the query", "nsd", "question echoed/left out", NSD_BARE),
    ("an additional record in the query", "nsd", "rcode NOERROR/FORMERR", RECORDS),
    ("an additional record in the query", "nsd", "question echoed/left out", NSD_BARE),
    ("an authority in the query", "nsd", "rcode NOERROR/FORMERR", RECORDS),
    ("an authority in the query", "nsd", "question echoed/left out", NSD_BARE),
    (
        "an answer in the query",
        "knot",
        "rcode FORMERR/NOERROR",
        "RFC 1035, section 4.1: a query has no answers; so says NSD",
    ),
    ("an answer in the query", "nsd", "question echoed/left out", NSD_BARE),
    (
        "bytes at the end*",
        "knot",
        "rcode NOERROR/FORMERR",
        "RFC 1035 forbids no bytes after the last record that is counted; NSD minds them no more",
    ),
    ("class ANY", "*", "rcode REFUSED/NOERROR", NO_CLASS_ANY),
    ("class ANY, not ours", "*", "rcode REFUSED/NXDOMAIN", NO_CLASS_ANY),
    ("class *", "nsd", "question echoed/left out", NSD_BARE),
    ("opcode of nobody*", "nsd", "question echoed/left out", NSD_BARE),
    ("count* of *", "knot", "reply FORMERR/none", UNREADABLE),
    ("count* of *", "nsd", "flags qr rd/qr", BARE_FLAGS),
    ("counts of what is not there", "knot", "question left out/echoed", HEADER_ONLY),
    ("header alone", "knot", "reply FORMERR/none", UNREADABLE),
    ("label *", "knot", "reply FORMERR/none", UNREADABLE),
    ("name *", "knot", "reply FORMERR/none", UNREADABLE),
    ("pointer *", "knot", "reply FORMERR/none", UNREADABLE),
    ("question cut off*", "knot", "reply FORMERR/none", UNREADABLE),
    ("noise", "knot", "reply FORMERR/none", UNREADABLE),
    (
        "noise",
        "nsd",
        "rcode FORMERR/NOTIMP",
        "RFC 1035, section 4.1.1: both codes are true; NSD looks at the opcode first",
    ),
    (
        "no question, EDNS",
        "nsd",
        "rcode FORMERR/NOERROR",
        "RFC 7873, section 5.4: only who has cookies answers a query without a question",
    ),
    ("two questions*", "knot", "reply FORMERR/none", "RFC 9619, section 4: FORMERR to more than one question"),
    ("two questions*", "nsd", "flags qr rd/qr", BARE_FLAGS),
    ("type 0", "knot", "rcode NOERROR/NOTIMP", "RFC 6895, section 3.1: type 0 is of no data, and so there is none"),
    (
        "type OPT in the question",
        "*",
        "rcode FORMERR/NOERROR",
        "RFC 6891, section 6.1.1: OPT is no data, and nothing can be asked for it",
    ),
]
