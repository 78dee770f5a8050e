package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"neutrino/store/engine"
)

func anyChange(t *rapid.T) change {
	c := change{Change: engine.Change{Key: rapid.StringN(1, 200, 200).Draw(t, "key")}}
	switch rapid.IntRange(0, 4).Draw(t, "value") {
	case 0:
		c.Deleted = true
	case 1:
		c.Value = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "any")
	case 2: // what the key ends with
		c.Value = []byte(c.Key[rapid.IntRange(0, len(c.Key)).Draw(t, "tail"):])
	default: // what others have too
		c.Value = []byte(rapid.SampledFrom([]string{"", "owner", "another owner"}).Draw(t, "owner"))
	}
	if !c.Deleted && rapid.Bool().Draw(t, "leased") {
		c.lease = engine.LeaseID(rapid.IntRange(1, 1<<20).Draw(t, "lease"))
	}
	return c
}

// A chunk says what was written into it, also when values are written once for
// several changes, and no damage to it makes a reader panic.
func TestAChunkSaysWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w chunkWriter
		var want []change
		for range rapid.IntRange(0, 12).Draw(t, "changes") {
			c := anyChange(t)
			want = append(want, c)
			w.add(c)
		}
		var got []change
		if err := changesOf(w.chunk, func(_ int, c change) { got = append(got, c) }); err != nil {
			t.Fatal(err)
		}
		same := cmp.Comparer(func(a, b change) bool {
			return a.Key == b.Key && a.Deleted == b.Deleted && a.lease == b.lease && bytes.Equal(a.Value, b.Value)
		})
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Fatal(diff)
		}
		damaged := slices.Clone(w.chunk[:rapid.IntRange(0, len(w.chunk)).Draw(t, "cut")])
		for range rapid.IntRange(0, 3).Draw(t, "damages") {
			if len(damaged) > 0 {
				damaged[rapid.IntRange(0, len(damaged)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
		}
		_ = changesOf(damaged, func(int, change) {}) // any answer but a panic
	})
}

// An owner's name is written once for all that it claims together.
func TestOwnersAreWrittenOnce(t *testing.T) {
	const owner = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
	var w chunkWriter
	for _, key := range []string{"/c/mac/net/fa:16:3e:00:00:01", "/c/ip/subnet/10.0.0.1", "/c/group-user/group/" + owner} {
		w.add(change{Change: engine.Change{Key: key, Value: []byte(owner)}})
	}
	if n := strings.Count(string(w.chunk), owner); n != 2 { // one is the end of the last key
		t.Errorf("%d times in %q", n, w.chunk)
	}
}

// A file of the format before, whose chunks have every value in full, is read as
// it is, and the program that wrote it refuses it from then on.
func TestPlainChunksAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	plain := func(key, value string) string {
		return "\x00" + string(rune(len(key))) + key + string(rune(len(value))) + value
	}
	for _, s := range []string{ddl, `UPDATE meta SET value = 2 WHERE name = 'format'`, `INSERT INTO meta VALUES ('compacted', 0)`} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	chunk := plain("/a/1", "owner") + plain("/a/2", "owner")
	if _, err := db.Exec(`INSERT INTO log VALUES (?, ?)`, 1<<seqBits, []byte(chunk)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	e := open(t, path)
	if got := listed(t, e, 0); got != "/a/1=owner@1 /a/2=owner@1 " {
		t.Errorf("read %q", got)
	}
	var have int
	if err := e.conn.QueryRowContext(t.Context(), `SELECT value FROM meta WHERE name = 'format'`).Scan(&have); err != nil || have != format {
		t.Errorf("format %d, %v", have, err)
	}
}

// What span.read keeps of a blob stays as it is while others are read.
func TestBlobsAreNotUsedAgain(t *testing.T) {
	e := open(t, filepath.Join(t.TempDir(), "db"))
	const many = 300
	for i := range many {
		if _, _, err := e.Txn(t.Context(), nil, []engine.Op{engine.Put(fmt.Sprint("/", i), bytes.Repeat([]byte{byte(i)}, 3000))}); err != nil {
			t.Fatal(err)
		}
	}
	chunks := chunksIn(t.Context(), t, e)
	for i, c := range chunks {
		if want := bytes.Repeat([]byte{byte(i)}, 3000); !bytes.HasSuffix(c.changes, want) {
			t.Fatalf("chunk %d of %d is another's", i, len(chunks))
		}
	}
	if len(chunks) != many {
		t.Errorf("%d chunks", len(chunks))
	}
}

func chunksIn(ctx context.Context, t *testing.T, e *Engine) []chunk {
	t.Helper()
	s := &span{to: 1 << 62}
	if err := s.read(ctx, e.conn); err != nil {
		t.Fatal(err)
	}
	return s.chunks
}

// A disk that fails under a mapped file is an error, not the end of the program;
// any other panic is none of its business.
func TestAMappedFileThatFailsIsAnError(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "mapped"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	if err := guarded(func() error { sum = mem[100]; return nil }); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("read %d, %v", sum, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a panic was taken for a disk that fails")
		}
	}()
	_ = guarded(func() error { panic("another") })
}

// A look at a few keys reads these, not the whole log: the readiness of a server
// with a million ports is asked for all the time.
func TestAFewKeysAreReadAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := open(t, path)
	for _, key := range []string{"/a/1", "/b/1", "/a/2"} {
		if _, err := put(t, e, key, 3); err != nil {
			t.Fatal(err)
		}
	}
	if list := listed(t, e, 0); !strings.Contains(list, "/b/1") {
		t.Fatal(list) // what was kept from the start is taken
	}
	if _, err := e.conn.ExecContext(t.Context(), `UPDATE log SET changes = x'ff' WHERE id = ?`, 2<<seqBits); err != nil {
		t.Fatal(err)
	}
	if list, rev, err := e.Range(t.Context(), "/a/", 0); err != nil || list.Len() != 2 || rev != 3 || list.At(1).Mod != 3 {
		t.Errorf("%d keys at %d, %v", list.Len(), rev, err)
	}
	if _, _, err := e.Range(t.Context(), "/a/", 3); err == nil {
		t.Error("the whole log was read, with its damage, and none was found")
	}
	if _, _, err := e.Range(t.Context(), "/b/", 0); err == nil {
		t.Error("a damaged chunk was read")
	}
}
