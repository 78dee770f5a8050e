package sqlite

import (
	"encoding/binary"
	"errors"

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

// The flags of a change.
const (
	flagDeleted = 1 << iota
	flagLease
)

// appendChange writes flags, key, value and lease.
func appendChange(b []byte, c change) []byte {
	flags := byte(0)
	if c.Deleted {
		flags |= flagDeleted
	}
	if c.lease != 0 {
		flags |= flagLease
	}
	b = append(binary.AppendUvarint(append(b, flags), uint64(len(c.Key))), c.Key...)
	if !c.Deleted {
		b = append(binary.AppendUvarint(b, uint64(len(c.Value))), c.Value...)
	}
	if c.lease != 0 {
		b = binary.AppendUvarint(b, uint64(c.lease))
	}
	return b
}

// changesOf yields the changes of a chunk. The values are parts of the chunk.
// The keys are parts of one text, so that an index of many keys has few texts.
func changesOf(chunk []byte, visit func(change)) error {
	keys := 0
	for rest := chunk; len(rest) > 0; {
		key, _, after, err := nextChange(rest)
		if err != nil {
			return err
		}
		keys, rest = keys+len(key), after
	}
	all := make([]byte, 0, keys)
	for rest := chunk; len(rest) > 0; {
		key, _, after, _ := nextChange(rest) // as above
		all, rest = append(all, key...), after
	}
	text := string(all)
	for rest := chunk; len(rest) > 0; {
		key, c, after, _ := nextChange(rest)
		c.Key, text, rest = text[:len(key)], text[len(key):], after
		visit(c)
	}
	return nil
}

// nextChange splits off one change, whose Key is still unset.
func nextChange(b []byte) (key []byte, c change, rest []byte, err error) {
	if len(b) == 0 {
		return nil, c, nil, errChunk
	}
	flags := b[0]
	if key, b, err = sized(b[1:]); err != nil {
		return nil, c, nil, err
	}
	if c.Deleted = flags&flagDeleted != 0; !c.Deleted {
		if c.Value, b, err = sized(b); err != nil {
			return nil, c, nil, err
		}
		c.Value = c.Value[:len(c.Value):len(c.Value)]
	}
	if flags&flagLease != 0 {
		lease, used := binary.Uvarint(b)
		if used <= 0 {
			return nil, c, nil, errChunk
		}
		c.lease, b = engine.LeaseID(lease), b[used:]
	}
	return key, c, b, nil
}

// sized splits off bytes with their length before them.
func sized(b []byte) (part, rest []byte, err error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, errChunk
	}
	return b[used : used+int(n)], b[used+int(n):], nil
}
