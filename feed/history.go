package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"neutrino/view"
)

// DefaultViews is how many views of before are kept.
const DefaultViews = 5

// The last view has its file; the ones before it are in a directory beside it,
// view.1 the newest. One is put there when another takes its place, at most once
// in viewGap; when that lacks much of it, once in lossGap: a hundred changes in a
// second neither wear the disk nor push out what an operator may want back.
const (
	viewsDir = "views"
	viewGap  = 10 * time.Minute
	lossGap  = time.Minute
)

// A view lacks much of the one before when it has not got so many of its rows, and
// so large a part.
const (
	muchRows  = 5
	muchShare = 20 // percent
)

// history keeps views of before. It is the saver's own.
type history struct {
	path  string
	views int
	last  kept      // what the file has
	said  bool      // the disk refuses, and that is logged
	put   time.Time // when the newest view of before was put there
}

func viewFile(path string, n int) string {
	return filepath.Join(filepath.Dir(path), viewsDir, "view."+strconv.Itoa(n))
}

// views are the files of the views of before, the newest first.
func views(path string) []string {
	var all []string
	for n := 1; ; n++ {
		if _, err := os.Stat(viewFile(path, n)); err != nil {
			return all
		}
		all = append(all, viewFile(path, n))
	}
}

// keep puts the view that the file has beside it, when it is worth it.
func (h *history) keep(ctx context.Context, next kept) {
	if h.views < 0 || h.last.revision == 0 || !h.due(next) {
		return
	}
	h.put = next.taken
	err := h.rotate(ctx)
	if err != nil && !h.said {
		slog.Error("feed: view of before not kept", "err", err)
	}
	h.said = err != nil
}

func (h *history) due(next kept) bool {
	age := next.taken.Sub(h.newest())
	if age < 0 { // the clock was set back
		return true
	}
	return age >= viewGap || age >= lossGap && lacksMuch(h.last.holding, next.holding)
}

// newest is when the newest view of before was put there.
func (h *history) newest() time.Time {
	if !h.put.IsZero() {
		return h.put
	}
	info, err := os.Lstat(filepath.Join(filepath.Dir(h.path), viewsDir))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// lacksMuch reports whether many rows of a view are not in the next one.
func lacksMuch(last, next holding) bool {
	n := 0
	for k := range last.rows {
		if _, has := next.rows[k]; !has {
			n++
		}
	}
	return n >= muchRows && 100*n > muchShare*len(last.rows)
}

// rotate makes room and links the file as view.1. The directory's time says when.
func (h *history) rotate(_ context.Context) error {
	dir := filepath.Dir(viewFile(h.path, 1))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for n := h.views - 1; n >= 1; n-- {
		if err := os.Rename(viewFile(h.path, n), viewFile(h.path, n+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(viewFile(h.path, 1)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Link(h.path, viewFile(h.path, 1))
}

// StoredView is a view on the disk, for people.
type StoredView struct {
	File     string    `json:"file"`
	Host     string    `json:"host"`
	Revision int64     `json:"revision"`
	Taken    time.Time `json:"taken"`
	// Rows counts what is in it by kind: "port", "network", "router", …
	Rows map[string]int `json:"rows"`
	// Held is how many rows of before were in force beside it.
	Held int `json:"held"`
	// Problem says why it cannot be used.
	Problem string `json:"problem,omitempty"`
}

// StoredViews are the views that a client with the file keeps: the last one, and
// those before it, the newest first. Damaged ones say so.
func StoredViews(_ context.Context, path string) ([]StoredView, error) {
	var out []StoredView
	for _, file := range append([]string{path}, views(path)...) {
		s, err := readStored(file)
		if errors.Is(err, os.ErrPermission) {
			return nil, err
		}
		v := StoredView{File: file, Host: s.Host, Revision: s.Revision, Taken: s.Taken, Rows: map[string]int{}}
		if err != nil {
			v.Problem = err.Error()
		}
		for _, r := range s.Rows {
			v.Rows[r.Kind]++
		}
		if s.Held != nil {
			v.Held = len(s.Held.Puts)
		}
		out = append(out, v)
	}
	if len(out) == 1 && out[0].Problem != "" {
		return out, fmt.Errorf("no view is kept: %s", out[0].Problem)
	}
	return out, nil
}

// serves are the kinds of rows that a list of views counts.
func serves() []string {
	return []string{view.KindNetwork, view.KindPort, view.KindRouter, view.KindFloatingIP}
}

// Summary is what of a view serves, in words.
func (v StoredView) Summary() string {
	text := ""
	for _, kind := range serves() {
		text += fmt.Sprintf("%d %ss, ", v.Rows[kind], kind)
	}
	return text[:len(text)-2]
}
