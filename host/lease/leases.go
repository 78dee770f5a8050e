package lease

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"neutrino/host"
)

// The files of a server, as its plan names them.
const (
	leasesName    = "leases"
	pidName       = "pid"
	interfaceName = "interface"
)

// record is one line of a leases file, "<expiry> <MAC or IAID> <address>
// <hostname> <client identifier>", with "*" for what is not known.
type record struct {
	ip       netip.Addr
	hardware []byte // the MAC; of IPv6 only where the identifier holds one
	iaid     uint32 // IPv6
	client   []byte // client identifier; of IPv6 the DUID
}

// content is a leases file.
type content struct {
	records []record
	server  []byte // the server's DUID
}

// stamp says whether a file was written meanwhile.
type stamp struct {
	size  int64
	mtime time.Time
}

type cached struct {
	stamp   stamp
	content content
}

// scan reads the leases files that changed.
func (h *Hand) scan(ctx context.Context) (map[host.LeaseKey]record, error) {
	found, files := map[host.LeaseKey]record{}, map[string]cached{}
	err := filepath.WalkDir(h.o.Root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone between two looks, or not made yet
		}
		if err != nil {
			return err
		}
		if d.Name() != leasesName || !d.Type().IsRegular() {
			return ctx.Err()
		}
		dir := filepath.Dir(path)
		info, err := d.Info()
		if err != nil {
			return nil
		}
		c, known := h.cache[dir]
		if s := (stamp{info.Size(), info.ModTime()}); !known || c.stamp != s {
			if c, err = settled(ctx, dir); errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		files[dir] = c
		for _, r := range c.content.records {
			found[r.key(dir)] = r
		}
		return nil
	})
	if err == nil {
		h.cache = files
	}
	return found, err
}

func (r record) key(dir string) host.LeaseKey {
	k := host.LeaseKey{Dir: dir, IP: r.ip.String()}
	if len(r.hardware) > 0 {
		k.MAC = colons(r.hardware)
	}
	return k
}

// parse reads a leases file. A last line without its end is being written, and
// a line that cannot be read is nobody's.
func parse(text string) content {
	var c content
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == "duid" {
			c.server, _ = bytesOf(f[1])
			continue
		}
		if r, ok := parseRecord(f); ok {
			c.records = append(c.records, r)
		}
	}
	return c
}

func parseRecord(f []string) (record, bool) {
	if len(f) != 5 {
		return record{}, false
	}
	ip, err := netip.ParseAddr(f[2])
	if err != nil {
		return record{}, false
	}
	r := record{ip: ip}
	if f[4] != "*" {
		if r.client, err = bytesOf(f[4]); err != nil {
			return record{}, false
		}
	}
	if ip.Is4() {
		// Another hardware type than Ethernet stands before the address: "06-…".
		r.hardware, err = bytesOf(f[1])
		return r, err == nil && len(r.hardware) == 6
	}
	iaid, err := strconv.ParseUint(f[1], 10, 32) // "T…" is a temporary address, which no plan gives
	r.iaid, r.hardware = uint32(iaid), hardwareOf(r.client)
	return r, err == nil
}

// hardwareOf is the MAC in a DUID of the kinds that hold one, DUID-LLT and
// DUID-LL of Ethernet (RFC 8415, 11.2 and 11.4).
func hardwareOf(duid []byte) []byte {
	switch {
	case len(duid) == 14 && string(duid[:4]) == "\x00\x01\x00\x01":
		return duid[8:]
	case len(duid) == 10 && string(duid[:4]) == "\x00\x03\x00\x01":
		return duid[4:]
	}
	return nil
}

// bytesOf reads "01:fa:16:3e:03:00:e7".
func bytesOf(s string) ([]byte, error) { return hex.DecodeString(strings.ReplaceAll(s, ":", "")) }

func colons(b []byte) string {
	words := make([]string, len(b))
	for i, x := range b {
		words[i] = hex.EncodeToString([]byte{x})
	}
	return strings.Join(words, ":")
}

// stuck is how long a server may be busy with its file.
const stuck = 2 * time.Second

// settled reads the file of a directory's server while the server is at rest.
// For every change it empties the file and writes it anew, and a busy disk can
// hold it up between the two; it is one thread, so at rest it is done.
func settled(ctx context.Context, dir string) (cached, error) {
	path, pid := filepath.Join(dir, leasesName), running(dir)
	for end := time.Now().Add(stuck); ; {
		rests := resting(pid)
		info, err := os.Stat(path)
		if err != nil {
			return cached{}, err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return cached{}, err
		}
		c := cached{stamp{info.Size(), info.ModTime()}, parse(string(text))}
		if rests && resting(pid) && int64(len(text)) == info.Size() || time.Now().After(end) {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(poll):
		}
	}
}

// resting reports whether a process waits for something to come, is stopped or
// is gone: it neither runs nor waits for the disk (proc_pid_stat(5)).
func resting(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(b), ") ") // behind the name
	return state == "" || !strings.ContainsAny(state[:1], "RD")
}

// strike takes lines out of the file of a server that does not run.
func strike(dir string, gone map[host.LeaseKey]bool) error {
	path := filepath.Join(dir, leasesName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var keep strings.Builder
	for line := range strings.Lines(string(text)) {
		if r, ok := parseRecord(strings.Fields(line)); !ok || !gone[r.key(dir)] {
			keep.WriteString(line)
		}
	}
	next := filepath.Join(dir, ".neutrino-"+leasesName)
	if err := os.WriteFile(next, []byte(keep.String()), info.Mode().Perm()); err != nil {
		_ = os.Remove(next)
		return err
	}
	return os.Rename(next, path)
}

// running is the process of a directory's server, 0 for none: the one that its
// pid file names and that has a path of the directory among its arguments.
func running(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, pidName))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0
	}
	argv, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || !strings.Contains(string(argv), dir+"/") {
		return 0
	}
	return pid
}
