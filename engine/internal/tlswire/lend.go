package tlswire

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// A tls.Conn keeps a buffer for records and one for handshake messages, and both
// stay as large as they ever were: 3 to 24 KB for a connection that does nothing.
// So it is lent a record as its input and has it taken away afterwards. The
// buffers are fields that crypto/tls keeps to itself. They are found by name
// once, and only if their types are the expected ones; else crypto/tls is left
// alone, and connections cost more.

// fields are the offsets of what is lent and taken back.
type fields struct {
	rawInput, hand uintptr // bytes.Buffer
	input          uintptr // bytes.Reader
}

var layout, lends = findFields(reflect.TypeFor[tls.Conn]())

// findFields looks for the buffers in a type.
func findFields(conn reflect.Type) (f fields, ok bool) {
	for _, want := range []struct {
		name   string
		typ    reflect.Type
		offset *uintptr
	}{
		{"rawInput", reflect.TypeFor[bytes.Buffer](), &f.rawInput},
		{"hand", reflect.TypeFor[bytes.Buffer](), &f.hand},
		{"input", reflect.TypeFor[bytes.Reader](), &f.input},
	} {
		field, found := conn.FieldByName(want.name)
		if !found || field.Type != want.typ {
			return fields{}, false
		}
		*want.offset = field.Offset
	}
	return f, true
}

// lend makes record the whole input of c, if c's input is empty.
func lend(c *tls.Conn, record []byte) bool {
	if !lends {
		return false
	}
	raw := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), layout.rawInput))
	if raw.Len() > 0 {
		return false
	}
	*raw = *bytes.NewBuffer(record)
	return true
}

// takeBack leaves c without buffers, except for those that hold something.
func takeBack(c *tls.Conn) {
	if !lends {
		return
	}
	input := (*bytes.Reader)(unsafe.Add(unsafe.Pointer(c), layout.input))
	if input.Len() > 0 {
		return
	}
	*input = bytes.Reader{}
	for _, offset := range [...]uintptr{layout.rawInput, layout.hand} {
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset)); b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}

// unfinished is how much c holds of a handshake message that is not whole, 0 if
// nobody can tell.
func unfinished(c *tls.Conn) int {
	if !lends {
		return 0
	}
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), layout.hand)).Len()
}
