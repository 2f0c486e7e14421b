package codec

// ProtocolError says which rule the peer broke and the close code to answer it with. The values are declared once
// below: returning one allocates nothing, and two errors for the same rule are the same pointer.
type ProtocolError struct {
	Code CloseCode // what to put into the Close frame
	Rule string    // "RFC 6455 §5.5"
	What string    // what the peer did, without a full stop
}

// Error names the rule first: that is what somebody who reads a log looks up.
func (e *ProtocolError) Error() string {
	return e.Rule + ": " + e.What + ", close " + e.Code.String()
}

// Rules of one header, whatever connection it arrives on.
var (
	errReservedOpcode    = violation("RFC 6455 §5.2", "reserved opcode")
	errLengthNotMinimal  = violation("RFC 6455 §5.2", "payload length is not in its shortest form")
	errLengthHighBit     = violation("RFC 6455 §5.2", "payload length has its highest bit set")
	errControlFragmented = violation("RFC 6455 §5.5", "fragmented control frame")
	errControlTooLong    = violation("RFC 6455 §5.5", "control frame with more than 125 bytes of payload")
)

// Rules that need the connection: its side, its extensions, its open message, its limits.
var (
	errNotMasked     = violation("RFC 6455 §5.1", "frame from a client is not masked")
	errMasked        = violation("RFC 6455 §5.1", "frame from a server is masked")
	errReservedBits  = violation("RFC 6455 §5.2", "reserved bit without an extension that defines it")
	errCompressedBit = violation("RFC 7692 §6", "compression bit on a frame that does not begin a message")
	errNoMessage     = violation("RFC 6455 §5.4", "continuation frame without a message to continue")
	errMessageOpen   = violation("RFC 6455 §5.4", "new message before the end of the one in progress")

	errTooBig        = &ProtocolError{CloseMessageTooBig, "RFC 6455 §10.4", "message is over the size limit"}
	errTooManyFrames = &ProtocolError{ClosePolicyViolation, "RFC 6455 §10.4", "message is over the frame limit"}
)

// Rules of a payload.
var (
	errTextNotUTF8    = &ProtocolError{CloseInvalidPayload, "RFC 6455 §8.1", "text is not UTF-8"}
	errReasonNotUTF8  = &ProtocolError{CloseInvalidPayload, "RFC 6455 §8.1", "close reason is not UTF-8"}
	errCloseTruncated = violation("RFC 6455 §5.5.1", "close payload of one byte")
	errCloseCode      = violation("RFC 6455 §7.4", "close code that must not be sent")
)

// Rules of compressed messages, besides errTooBig and errTextNotUTF8.
var (
	errInflate       = &ProtocolError{CloseInvalidPayload, "RFC 7692 §7.2.2", "compressed data is corrupt or cut short"}
	errTooManyFinals = &ProtocolError{ClosePolicyViolation, "RFC 7692 §7.2.1", "message is over the limit of final blocks"}
)

// Rules of what a server may answer to an offer of extensions.
var (
	errExtensionSyntax = violation("RFC 6455 §9.1", "malformed list of extensions")
	errNotOffered      = violation("RFC 6455 §4.1", "extension that was not offered")
	errDeflateAnswer   = violation("RFC 7692 §7.1", "answer that does not keep to the offer")
)

// violation is a ProtocolError with code 1002, which nearly all of them have.
func violation(rule, what string) *ProtocolError {
	return &ProtocolError{CloseProtocolError, rule, what}
}
