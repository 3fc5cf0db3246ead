//! The specimens of the zoo: small servers in `examples/zoo/`, each with one classic mistake.

/// A server with one mistake, and what helps a learner to find it.
#[derive(Debug)]
pub struct Specimen {
    /// As the command line has it: words joined by `-`.
    pub name: &'static str,
    /// The mistake, as the end of the sentence "it …".
    pub title: &'static str,
    /// The chapter of the guide that explains what is right: `docs/guide/src/CHAPTER.md`.
    pub chapter: &'static str,
    /// Where to look; what happens there; what to change.
    pub hints: [&'static str; 3],
}

/// All specimens, from the simplest readiness to fairness.
pub const SPECIMENS: [Specimen; 18] = [
    Specimen {
        name: "undrained-edge",
        title: "reads once for each event",
        chapter: "readiness",
        hints: [
            "Look at what follows a read that filled the buffer. When does the next read happen?",
            "An edge-triggered event is reported when bytes arrive, and not again while they lie in the socket. After one \
             read there may be more, and no event will say so.",
            "Go on until a read says WouldBlock: or keep a list of peers that may have more, put the peer on it after each \
             step that moved bytes, and do not sleep while the list has entries.",
        ],
    },
    Specimen {
        name: "undrained-listener",
        title: "accepts one connection for each event",
        chapter: "accept",
        hints: [
            "Look at what the server does with an event of its listener. Let many clients connect at once.",
            "Several connections can wait behind one event. The server takes one of them and waits; the others stay in \
             the accept queue until one more client connects.",
            "After a connection was accepted, try the listener again, in the same turn or in the next, until it says \
             WouldBlock.",
        ],
    },
    Specimen {
        name: "lost-tail",
        title: "ignores how many bytes a write took",
        chapter: "partial-writes",
        hints: [
            "Look at the result of the write. Let a client send some megabytes, and read only afterwards.",
            "A write to a non-blocking socket takes what fits into the send buffer, and returns that number. The server \
             throws away what did not fit.",
            "Remove from the pending bytes as many as the write returned, and keep the rest until the socket is writable.",
        ],
    },
    Specimen {
        name: "sent-twice",
        title: "sends the whole buffer again after a short write",
        chapter: "partial-writes",
        hints: [
            "Look at what is pending after a write that took a part. Let a client send some megabytes, and read only \
             afterwards.",
            "The server sees that not everything was taken, and tries again, but from the start: the part that was taken \
             goes out twice.",
            "Remove from the pending bytes as many as each write returned, also if that is not all of them.",
        ],
    },
    Specimen {
        name: "half-close-drops-tail",
        title: "closes at the end of the stream although bytes are pending",
        chapter: "half-close",
        hints: [
            "Look at what happens if a read returns 0. What does the server still owe the peer then?",
            "The end of the stream means that the peer sends no more. It still reads. The server closes at once, and drops \
             what it could not write yet.",
            "If a read returns 0 and bytes are pending, wait until they are written, and close only then.",
        ],
    },
    Specimen {
        name: "hang-up-first",
        title: "handles the hang-up before the bytes that came with it",
        chapter: "half-close",
        hints: [
            "Look at what the server does with an event before it reads. Let a client send a megabyte and shut down \
             writing at once.",
            "One event can say both that bytes are there and that the peer has shut down. The server acts on the second, \
             and never reads the bytes.",
            "Do not decide by the flags of an event. Read until a read returns 0: that is the end, behind all bytes.",
        ],
    },
    Specimen {
        name: "end-ignored",
        title: "goes on after the end of the stream",
        chapter: "half-close",
        hints: [
            "Look at the results that a read can have. Let a client shut down writing, and watch the server with top.",
            "A read that returns 0 is the end of the stream. The server takes it for a read of no bytes, and reads again, \
             for ever, since the end stays.",
            "If a read returns 0, the peer has sent everything: write what is pending, then close.",
        ],
    },
    Specimen {
        name: "always-writable",
        title: "always asks for writable events",
        chapter: "readiness",
        hints: [
            "Look at the interest for which a socket is registered. Let a client connect and send nothing, and watch the \
             server with top.",
            "A socket is writable nearly all the time. To register it again for that reports an event at once, although \
             there is nothing to write.",
            "Ask for writable events only while bytes are pending, and for readable ones otherwise.",
        ],
    },
    Specimen {
        name: "whole-buffer",
        title: "sends the whole buffer, and not the bytes that were read",
        chapter: "blocking",
        hints: [
            "Look at which bytes go from the buffer to the peer. Send a long message, then a short one, and count.",
            "A read fills the first n bytes of the buffer and returns n. What follows is older. The server sends it too, \
             even if it came from another client.",
            "Use the number that the read returned: only the first n bytes of the buffer belong to this message.",
        ],
    },
    Specimen {
        name: "short-read-ends",
        title: "takes a short read for the end of the stream",
        chapter: "blocking",
        hints: [
            "Look at how the server finds out that the peer has finished. Send a message, wait for its echo, and send \
             another.",
            "A read returns what has arrived, often less than the buffer holds. The server takes that for the last read, \
             and closes after the echo.",
            "Only a read that returns 0 is the end of the stream.",
        ],
    },
    Specimen {
        name: "text-only",
        title: "takes bytes for text",
        chapter: "blocking",
        hints: [
            "Look at what happens to the bytes between the read and the write. Send the byte FF.",
            "Bytes that are no valid UTF-8 become the replacement character, EF BF BD. A character that is cut in two by \
             a read is replaced too.",
            "Leave strings out: send back the bytes as they were read.",
        ],
    },
    Specimen {
        name: "unbounded-output",
        title: "reads on while the peer does not read",
        chapter: "partial-writes",
        hints: [
            "Look at when the server reads. Let a client send without ever reading, and watch the memory of the server.",
            "What cannot be written is kept, and the server reads on and keeps that too. Nothing makes the client wait, so \
             nothing limits what is kept.",
            "Do not read while more than a fixed number of bytes is pending. TCP then makes the client wait.",
        ],
    },
    Specimen {
        name: "blocking-socket",
        title: "leaves accepted sockets blocking",
        chapter: "blocking",
        hints: [
            "Look at what kind of socket accept returns. Let one client connect and say nothing, and try another.",
            "A blocking socket without bytes stops the thread in the read, and with it all other clients. On Linux, an \
             accepted socket is blocking even if its listener is not.",
            "Set the accepted socket to non-blocking before you hand it to mio, or accept with the listener of mio, which \
             does that.",
        ],
    },
    Specimen {
        name: "accept-error-ends",
        title: "ends if a connection cannot be accepted",
        chapter: "accept",
        hints: [
            "Look at what becomes of an error of accept. Start the server with few descriptors (ulimit -n 32), and connect \
             more clients.",
            "Without descriptors, accept fails with EMFILE. The server returns from its loop with that error, and all its \
             connections end.",
            "An error of accept is no reason to end. Wait for a moment, and try again.",
        ],
    },
    Specimen {
        name: "emfile-spin",
        title: "tries again at once while it cannot accept",
        chapter: "accept",
        hints: [
            "Look at what follows an error of accept. Start the server with few descriptors (ulimit -n 32), connect more \
             clients, and watch it with top.",
            "While descriptors are short, accept fails each time, and the connection stays in the queue. The server tries \
             again without a pause.",
            "After such an error, leave the listener alone for some time: give the next poll a timeout, and try again \
             after it.",
        ],
    },
    Specimen {
        name: "deaf-listener",
        title: "waits for an event after it could not accept",
        chapter: "accept",
        hints: [
            "Look at what makes the server accept again after an error. Start it with few descriptors (ulimit -n 32), \
             connect more clients, and close some.",
            "The event for the waiting connections was reported before the error, and no event says that a descriptor is \
             free. So the listener is never tried again.",
            "After such an error, give the next poll a timeout, and try to accept again after it.",
        ],
    },
    Specimen {
        name: "greedy-peer",
        title: "serves one peer until it has nothing left",
        chapter: "fairness",
        hints: [
            "Look at when the server turns to the next peer. Let one client send and read as fast as it can, and try \
             another.",
            "A fast client has more bytes each time the server reads. The loop over its bytes does not end, and the other \
             peers wait.",
            "Limit the work for a peer in each turn. If it may have more, put it on a list, and let the others have their \
             turn first.",
        ],
    },
    Specimen {
        name: "stuck-back-pressure",
        title: "does not resume reading when the pending bytes are gone",
        chapter: "partial-writes",
        hints: [
            "Look at what follows the write of the last pending byte. Let a client send some megabytes, and read only \
             afterwards.",
            "While bytes were pending, the server did not read, and the edge for what arrived meanwhile is spent. After the \
             last write it waits for an edge that does not come.",
            "When the last pending byte is written, read again, without an event.",
        ],
    },
];
