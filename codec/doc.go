// Package codec is RFC 6455 and RFC 7692 over byte slices: headers, masks, UTF-8, close payloads, the rules that bind
// frames into messages, and permessage-deflate. It opens no socket, reads no clock, starts no goroutine and takes no lock: bytes come in, values and
// bytes go out, so every rule of the protocol is tested without a network.
//
// A parser here is a pure function with three outcomes: complete, need more, or an error which holds whatever bytes
// may follow. What needs a memory of earlier bytes sits in small values: UTF8 for text in pieces, Decoder for messages
// in pieces, Window for what a compressed message may refer to. They are ready as zero values, and none may be used by
// two goroutines at once. Deflater and Inflater remember nothing from message to message: one serves many connections.
//
// Who owns the bytes: functions named Append write to dst and return it grown, as append does, and do not retain the
// other arguments. Decoder.Next unmasks in place, so it writes into the slice it reads from, and its events point into
// that slice or into a buffer lent by Memory.
//
// Errors are *ProtocolError values that exist once, so failing a connection costs no allocation. Each carries the
// close code to answer with and the section that was broken.
package codec
