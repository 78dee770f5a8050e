package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unsafe"

	"neutrino/store/engine"
)

// A row of the table log is a chunk: some of the changes of one revision, one
// after the other. Most revisions are one chunk. A big one is several, so that
// compaction, which writes what remains of a chunk, writes little.
const chunkSize = 4000 // bytes, about a page of the file

// errChunk is a chunk that is damaged.
var errChunk = errors.New("a chunk of the log is damaged")

// change is one change in a chunk.
type change struct {
	engine.Change
	lease engine.LeaseID
}

// The flags of a change. Who claims something claims more of it beside it, and
// often under its own name: its name is written once then.
const (
	flagDeleted = 1 << iota
	flagLease
	flagSame // the value is that of a change before; a uvarint says how far back its length is
	flagTail // the value is what the key ends with; a uvarint says how much of it
)

// minSame is the shortest value that is not written again.
const minSame = 4

// writer makes a chunk.
type chunkWriter struct {
	chunk []byte
	value []byte // the last one that was written
	at    int    // where its length is
}

func (w *chunkWriter) reset() { w.chunk, w.value = w.chunk[:0], nil }

// add writes flags, key, value and lease.
func (w *chunkWriter) add(c change) {
	start := len(w.chunk)
	flags := byte(0)
	if c.lease != 0 {
		flags |= flagLease
	}
	switch {
	case c.Deleted:
		flags |= flagDeleted
	case len(c.Value) < minSame:
	case strings.HasSuffix(c.Key, text(c.Value)):
		flags |= flagTail
	case bytes.Equal(c.Value, w.value):
		flags |= flagSame
	}
	b := append(binary.AppendUvarint(append(w.chunk, flags), uint64(len(c.Key))), c.Key...)
	switch {
	case flags&flagTail != 0:
		b = binary.AppendUvarint(b, uint64(len(c.Value)))
	case flags&flagSame != 0:
		b = binary.AppendUvarint(b, uint64(start-w.at))
	case !c.Deleted:
		w.value, w.at = c.Value, len(b)
		b = append(binary.AppendUvarint(b, uint64(len(c.Value))), c.Value...)
	}
	if c.lease != 0 {
		b = binary.AppendUvarint(b, uint64(c.lease))
	}
	w.chunk = b
}

// changesOf visits the changes of a chunk, with where each begins.
func changesOf(chunk []byte, visit func(at int, c change)) error {
	for at := 0; at < len(chunk); {
		c, end, err := changeAt(chunk, at)
		if err != nil {
			return err
		}
		visit(at, c)
		at = end
	}
	return nil
}

// changeAt is the change that begins there, and where the next one does. Its key
// and value are parts of the chunk.
func changeAt(chunk []byte, at int) (c change, end int, err error) {
	if at >= len(chunk) {
		return c, 0, errChunk
	}
	flags := chunk[at]
	key, rest, err := sized(chunk[at+1:])
	if err != nil {
		return c, 0, err
	}
	c.Key, c.Deleted = text(key), flags&flagDeleted != 0
	switch {
	case c.Deleted:
	case flags&(flagSame|flagTail) == 0:
		if c.Value, rest, err = sized(rest); err != nil {
			return c, 0, err
		}
	default:
		n, used := binary.Uvarint(rest)
		if used <= 0 || flags&flagTail != 0 && n > uint64(len(key)) || flags&flagSame != 0 && n > uint64(at) {
			return c, 0, errChunk
		}
		rest = rest[used:]
		if flags&flagTail != 0 {
			c.Value = key[len(key)-int(n):]
		} else if c.Value, _, err = sized(chunk[at-int(n):]); err != nil {
			return c, 0, err
		}
	}
	if flags&flagLease != 0 {
		lease, used := binary.Uvarint(rest)
		if used <= 0 {
			return c, 0, errChunk
		}
		c.lease, rest = engine.LeaseID(lease), rest[used:]
	}
	return c, len(chunk) - len(rest), nil
}

// sized splits off bytes with their length before them.
func sized(b []byte) (part, rest []byte, err error) {
	if len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) { // nearly all
		end := 1 + int(b[0])
		return b[1:end:end], b[end:], nil
	}
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, errChunk
	}
	end := used + int(n)
	return b[used:end:end], b[end:], nil
}

// text is the bytes as a text, without a copy: chunks never change.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
