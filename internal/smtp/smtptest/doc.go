// Package smtptest plays one side of an SMTP conversation that is written down as
// text, against a real server or a real client.
//
//	S: 220 mx.zoo.test
//	C: EHLO *
//	S: 250-mx.zoo.test
//	S: 250 PIPELINING
//	C: MAIL*
//	repeat 100 S: 250-and another thing
//	stall
//
// Play takes the part of C: what C says is sent, what S says is expected. Serve takes
// the part of S. Blank lines, and lines that begin with #, say nothing.
//
// # Speech
//
//	C: TEXT            the client sends, or is expected to send, TEXT and CRLF
//	C- TEXT            the octets alone, without a line end
//	S: TEXT, S- TEXT   the same for the server
//	repeat N S: TEXT   N times, or until the other side lets go
//	endless S: TEXT    again and again until the other side lets go, 64 MB at most
//	drip 20ms S: TEXT  octet by octet, with a pause after each
//
// In all of them \r \n \t \0 \\ and \xHH stand for octets. The other side's lines may end
// in *, which stands for anything; "250-*" repeated as often as needed is written
// "250-**".
//
// # What else may happen
//
//	wait 3s     time passes
//	stall       says nothing more, and throws away what comes, until the other side lets go
//	deaf        neither says nor reads anything more until the conversation is ended
//	content     reads a message up to the lone dot
//	chunk       reads one BDAT command and its octets (RFC 3030)
//	obey        answers everything as a sound receiver does, until the other side lets go
//	tls         begins TLS; "tls expired", "tls other-name", "tls stranger" and "tls old" show a
//	            certificate that is not to be trusted, or speak TLS 1.0 alone
//	close       expects that the other side ends the connection
//	close!      ends it
//	reset       ends it by a reset (RST)
//	connection  what follows is for the next connection
//
// The end of the text ends the connection.
//
// # The zoo
//
// A Conversation has a header besides, which says what is sent to the receiver and what
// must become of it. zoo/*.txt are the receivers of ill will and of bad workmanship that
// the client has to bear; Zoo returns them.
//
//	# Two sentences about who does so, and what goes wrong where nobody thought of it.
//	to: x y                 local parts of the recipients; default: x
//	messages: 2             a second message is there, too, for the same recipients
//	idle: yes               the connection is kept until the receiver ends it; else it is closed after the last message
//	size: 100000            octets of each; default: a few lines
//	tls: required           no (the default), if-available, required or verified
//	timeout: mail-from 80ms the only step that does not have time enough; may come again
//	expect: delivered, deferred    per recipient, of the first message
//	expect: returned               of the second; the last line is for all further ones
//	ends: host              how the connection is reported to have ended: ok, busy, host, tls or never
//	says: too long          a part of what is reported about what was not delivered
//	octets: 5000            how much of the receiver's speech is read at most; default: 70000
//	server: delivered       what the whole server makes of it in the end, where that differs
//
// Outcomes are delivered, deferred, bounced (refused for good), again (at once, in a
// further transaction: too many recipients), returned (not begun: no attempt) and trouble
// (the connection did not come about, so nothing was begun).
package smtptest
