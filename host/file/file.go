// Package file is the hand for the files that our daemons read. Everything
// below the directories that it is told is ours, but for what daemons write
// there themselves.
package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"neutrino/host"
	"neutrino/reconcile"
)

// temporary begins the names of files that are being written. One that a crash
// left behind is read as ours and wanted by nobody, so it goes.
const temporary = ".neutrino-"

// runtimeNames are files of the daemons, not of a plan: the pid file, and the
// stamp that the process hand keeps. They are neither read nor dropped alone;
// they go when the last file of a plan beside them goes.
func runtimeNames() []string { return []string{"pid", "loaded"} }

// seedName is the file that dnsmasq keeps its leases in. A plan only seeds it,
// and a freshly started hand must know that before it hears of the plan.
const seedName = "leases"

// Hand keeps files below some directories.
type Hand struct {
	dirs   []string
	events chan struct{}

	mu    sync.Mutex
	cache map[string]cached
	seeds map[string]bool // wanted as seeds: their content is their daemon's
	watch *watcher
}

var _ reconcile.Hand[string, host.File] = (*Hand)(nil)

// cached is a file's content as long as the stamp is the same.
type cached struct {
	stamp stamp
	file  host.File
}

// New makes a hand for the regular files below these directories, given as
// absolute paths. A directory that does not exist is made when it is needed.
func New(dirs []string) *Hand {
	h := &Hand{events: make(chan struct{}, 1), cache: map[string]cached{}, seeds: map[string]bool{}}
	for _, d := range dirs {
		h.dirs = append(h.dirs, filepath.Clean(d))
	}
	return h
}

// Same reports whether two files need no change. Of a seed only the presence counts.
func Same(a, b host.File) bool {
	return a.Seed || b.Seed || (a.Content == b.Content && a.Mode == b.Mode)
}

// Events signals that somebody else changed a file of ours.
func (h *Hand) Events() <-chan struct{} { return h.events }

// Invalidate makes the next Read read every file's content again.
func (h *Hand) Invalidate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.cache)
}

// Close ends the watching of directories.
func (h *Hand) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watch != nil {
		h.watch.close()
		h.watch = nil
	}
}

// Read returns our files with their content, seeds without. A file is read again when its
// time, size, inode or mode changed.
func (h *Hand) Read(ctx context.Context) (map[string]host.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	have := map[string]host.File{}
	for _, dir := range h.dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone between two looks, or not made yet
			}
			if err != nil {
				return err
			}
			if d.IsDir() {
				h.watching(path)
				return ctx.Err()
			}
			if !d.Type().IsRegular() || slices.Contains(runtimeNames(), d.Name()) {
				return nil
			}
			return h.read(path, have)
		})
		if err != nil {
			return nil, fmt.Errorf("file: reading %s: %w", dir, err)
		}
	}
	for path := range h.cache {
		if _, ok := have[path]; !ok {
			delete(h.cache, path)
		}
	}
	return have, nil
}

func (h *Hand) read(path string, have map[string]host.File) error {
	s, ok := stampOf(path)
	if !ok {
		return nil
	}
	if c, ok := h.cache[path]; ok && (c.stamp == s || h.seeds[path]) {
		have[path] = c.file
		return nil
	}
	if filepath.Base(path) == seedName {
		h.seeds[path] = true
	}
	if h.seeds[path] {
		f := host.File{Mode: s.mode, Seed: true}
		h.cache[path] = cached{s, f}
		have[path] = f
		return nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f := host.File{Content: string(content), Mode: s.mode}
	h.cache[path] = cached{s, f}
	have[path] = f
	return nil
}

// Apply writes and removes files, each by itself: a disk that is full for one
// is an [host.ItemError] of that one.
func (h *Hand) Apply(ctx context.Context, d reconcile.Diff[string, host.File]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	note := func(path string, f host.File, err error) {
		if err != nil {
			errs = append(errs, &host.ItemError{Item: "file " + path, Why: f.Why, Err: err})
		}
	}
	for _, path := range sorted(d.Put) {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		note(path, d.Put[path], h.put(path, d.Put[path]))
	}
	for _, path := range sorted(d.Drop) {
		note(path, d.Drop[path], h.drop(path))
	}
	return errors.Join(errs...)
}

func sorted(files map[string]host.File) []string {
	var paths []string
	for p := range files {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(a, b) })
	return paths
}

// root is the directory of ours that a path is below.
func (h *Hand) root(path string) (string, error) {
	if filepath.Clean(path) != path || !filepath.IsAbs(path) {
		return "", errors.New("not a clean absolute path")
	}
	if slices.Contains(runtimeNames(), filepath.Base(path)) || strings.HasPrefix(filepath.Base(path), temporary) {
		return "", fmt.Errorf("the name %q is kept for daemons", filepath.Base(path))
	}
	for _, dir := range h.dirs {
		if strings.HasPrefix(path, dir+"/") {
			return dir, nil
		}
	}
	return "", fmt.Errorf("not below a directory of ours (%s)", strings.Join(h.dirs, ", "))
}

func (h *Hand) put(path string, f host.File) error {
	if _, err := h.root(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := makeDirs(dir); err != nil {
		return err
	}
	h.watching(dir)
	if f.Seed {
		h.seeds[path] = true
		if _, ok := stampOf(path); ok {
			return nil
		}
	} else {
		delete(h.seeds, path)
	}
	if err := write(path, f); err != nil {
		return err
	}
	if s, ok := stampOf(path); ok {
		h.cache[path] = cached{s, host.File{Content: f.Content, Mode: s.mode, Seed: f.Seed}}
	}
	return syncDir(dir)
}

// makeDirs makes a directory and its parents readable for daemons that are not
// root, whatever the umask.
func makeDirs(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDirs(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o755)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// write makes the file whole or not at all: readers see the old or the new one,
// also after a power failure.
func write(path string, f host.File) (err error) {
	t, err := os.CreateTemp(filepath.Dir(path), temporary+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			t.Close()
			os.Remove(t.Name())
		}
	}()
	if _, err = t.WriteString(f.Content); err != nil {
		return err
	}
	if err = t.Chmod(fs.FileMode(f.Mode) & fs.ModePerm); err != nil {
		return err
	}
	if err = t.Sync(); err != nil {
		return err
	}
	if err = t.Close(); err != nil {
		return err
	}
	return os.Rename(t.Name(), path)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// drop removes a file, and with the last one of a directory what its daemon
// left there, and the directory.
func (h *Hand) drop(path string) error {
	dir := filepath.Dir(path)
	root := ""
	for _, d := range h.dirs {
		if strings.HasPrefix(path, d+"/") {
			root = d
		}
	}
	if root == "" {
		return fmt.Errorf("not below a directory of ours (%s)", strings.Join(h.dirs, ", "))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(h.cache, path)
	delete(h.seeds, path)
	for ; dir != root; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil // somebody else removed it
		}
		if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !slices.Contains(runtimeNames(), e.Name()) }) {
			return nil
		}
		for _, e := range entries {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
