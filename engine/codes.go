package engine

import "github.com/headrace/headrace/codec"

// CloseCode says why a connection ends (RFC 6455 §7.4).
type CloseCode = codec.CloseCode

// Close codes, by their IANA names. CloseNoStatus stands for a Close frame
// without a code, CloseAbnormal for an end without a Close frame; neither is
// ever on the wire. 3000 to 4999 are free for libraries and applications.
const (
	CloseNormal             = codec.CloseNormal             // 1000
	CloseGoingAway          = codec.CloseGoingAway          // 1001
	CloseProtocolError      = codec.CloseProtocolError      // 1002
	CloseUnsupportedData    = codec.CloseUnsupportedData    // 1003
	CloseNoStatus           = codec.CloseNoStatus           // 1005
	CloseAbnormal           = codec.CloseAbnormal           // 1006
	CloseInvalidPayload     = codec.CloseInvalidPayload     // 1007
	ClosePolicyViolation    = codec.ClosePolicyViolation    // 1008
	CloseMessageTooBig      = codec.CloseMessageTooBig      // 1009
	CloseMandatoryExtension = codec.CloseMandatoryExtension // 1010
	CloseInternalError      = codec.CloseInternalError      // 1011
	CloseServiceRestart     = codec.CloseServiceRestart     // 1012
	CloseTryAgainLater      = codec.CloseTryAgainLater      // 1013
	CloseBadGateway         = codec.CloseBadGateway         // 1014
)
