package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"neutrino/store/engine"
)

// private makes the files of a database readable for their owner only. Those that
// others could read are said: what they held may be known.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, name := range []string{path, path + walSuffix, path + ackedSuffix, path + ".lock"} {
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Perm()&0o077 == 0:
			continue
		case err != nil:
			return err
		}
		if err := os.Chmod(name, 0o600); err != nil {
			return err
		}
		slog.Warn("sqlite: a file of the store was open to others, and is not any more", "file", name, "mode", info.Mode().Perm())
	}
	// The programs before shared the index of the write-ahead log in a file.
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

const walSuffix = "-wal"

// checkWAL looks for damage in the write-ahead log of a database that nobody has
// open. SQLite ends reading it at the first frame whose checksum is wrong, as it
// must for a commit that a crash cut off, and drops what follows without a word.
// But a commit is on the disk before the next one begins, so that a wrong frame
// with more than one commit at or behind it is damage. The format is that of
// https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
func checkWAL(path string) error {
	f, err := os.Open(path + walSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	w := walReader{r: f}
	err = w.check()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// The sizes of the write-ahead log's headers, and the bounds of a page's.
const (
	walHeader   = 32
	frameHeader = 24
	minPage     = 512
	maxPage     = 65536
)

type walReader struct {
	r      io.Reader
	order  binary.ByteOrder
	s0, s1 uint32 // the checksum so far
}

// add takes bytes, a multiple of eight, into the checksum.
func (w *walReader) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		w.s0 += w.order.Uint32(b) + w.s1
		w.s1 += w.order.Uint32(b[4:]) + w.s0
	}
}

// check returns io.EOF for a log without damage.
func (w *walReader) check() error {
	var h [walHeader]byte
	if _, err := io.ReadFull(w.r, h[:]); err != nil {
		return err
	}
	w.order = binary.LittleEndian
	if h[3]&1 != 0 {
		w.order = binary.BigEndian
	}
	w.add(h[:24])
	page := binary.BigEndian.Uint32(h[8:])
	if binary.BigEndian.Uint32(h[:])&^1 != 0x377f0682 || page < minPage || page > maxPage ||
		w.s0 != binary.BigEndian.Uint32(h[24:]) || w.s1 != binary.BigEndian.Uint32(h[28:]) {
		return fmt.Errorf("%w: the beginning of its write-ahead log is not what was written", engine.ErrDamaged)
	}
	frame := make([]byte, frameHeader+page)
	for wrong, commits, n := 0, 0, 1; ; n++ {
		if _, err := io.ReadFull(w.r, frame); err != nil {
			return err
		}
		ours := string(frame[8:16]) == string(h[16:24]) // or of before the log began again
		w.add(frame[:8])
		w.add(frame[frameHeader:])
		if wrong == 0 && (!ours || w.s0 != binary.BigEndian.Uint32(frame[16:]) || w.s1 != binary.BigEndian.Uint32(frame[20:])) {
			wrong = n
		}
		if wrong != 0 && ours && binary.BigEndian.Uint32(frame[4:]) != 0 {
			commits++
		}
		if commits > 1 {
			return fmt.Errorf("%w: frame %d of its write-ahead log is not what was written", engine.ErrDamaged, wrong)
		}
	}
}
