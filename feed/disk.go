package feed

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"neutrino"
	"neutrino/view"
	"neutrino/wholefile"
)

// The file of a view is one line, "neutrino view 1 <sha256 of the rest>", and
// then the stored form as JSON.
const fileMagic = "neutrino view 1 "

type stored struct {
	Host     string      `json:"host"`
	Revision int64       `json:"revision"`
	Taken    time.Time   `json:"taken"`
	Rows     []storedRow `json:"rows"`
	Held     *storedHeld `json:"held,omitempty"`
	// Store is where the rows are from, and Hold what is not used of them.
	Store neutrino.StoreIdentity `json:"store,omitzero"`
	Hold  []storedRow            `json:"hold,omitempty"`
}

type storedRow struct {
	Kind  string          `json:"kind"`
	ID    string          `json:"id"`
	Value json.RawMessage `json:"value"`
	// Ignorable is [view.Row]'s.
	Ignorable bool `json:"ignorable,omitempty"`
}

// storedHeld is how what is in force differs from the view.
type storedHeld struct {
	Since time.Time   `json:"since"`
	Puts  []storedRow `json:"puts"`
	Drops []storedRow `json:"drops"` // without values
}

// kept is a view as a host has accepted it.
type kept struct {
	holding
	inForce *view.Host // nil for the view itself
	since   time.Time  // of what is held
	taken   time.Time
}

// Accept says that a view of [Client.Latest] has been acted on, and what of it is
// in force: inForce is its Host, unless rows of before are held since that time.
// It does not wait for the disk.
func (c *Client) Accept(v View, inForce *view.Host, since time.Time) {
	c.mu.Lock()
	c.accepted = kept{holding: v.of, inForce: inForce, since: since}
	c.mu.Unlock()
	signal(c.unsaved)
}

// InForce is what was accepted last, before the client's start too, and since
// when rows are held in it; nil for nothing. It is known before Latest is.
func (c *Client) InForce() (*view.Host, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.accepted.inForce == nil && c.accepted.revision > 0 {
		return c.accepted.working(), c.accepted.since
	}
	return c.accepted.inForce, c.accepted.since
}

// loadStored reads the last view from disk, or the newest one before it that is
// whole.
func (c *Client) loadStored(ctx context.Context) {
	k, err := loadNewest(ctx, c.config.File, c.config.Registration.Host)
	if err != nil {
		slog.Error("feed: no stored view is used", "err", err)
		return
	}
	if k.revision > 0 {
		c.mu.Lock()
		c.held, c.accepted = k.holding, k
		c.mu.Unlock()
	}
}

// loadNewest is load, with the views of before where the file is missing or
// damaged: that the last one is lost is no sign that there is nothing to keep.
func loadNewest(ctx context.Context, path, host string) (kept, error) {
	k, err := load(ctx, path, host)
	if err == nil && k.revision > 0 {
		return k, nil
	}
	if err == nil {
		err = fmt.Errorf("feed: there is no %s", path)
	}
	for _, older := range views(path) {
		was, failed := load(ctx, older, host)
		if failed != nil || was.revision == 0 {
			err = errors.Join(err, failed)
			continue
		}
		slog.Error("feed: THE LAST VIEW ON DISK IS DAMAGED OR MISSING, an older one is used", "file", path, "err", err,
			"used", older, "revision", was.revision, "taken", was.taken)
		return was, nil
	}
	if _, missing := os.Stat(path); errors.Is(missing, os.ErrNotExist) && len(views(path)) == 0 {
		return kept{}, nil // a first start
	}
	return kept{}, err
}

// load reads a view from its file; without a file the revision is 0.
func load(_ context.Context, path, host string) (kept, error) {
	s, err := readStored(path)
	if errors.Is(err, os.ErrNotExist) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, err
	}
	if s.Host != host {
		return kept{}, fmt.Errorf("feed: %s is the view of host %q, this is %q", path, s.Host, host)
	}
	st := stage{full: true, delta: view.Delta{Puts: fromStored(s.Rows)}}
	k := kept{taken: s.Taken}
	if k.holding, err = st.commit(holding{host: view.New(host), name: s.Store}, s.Revision); err == nil {
		k.hold, err = k.holding.keeping(storedHold(s.Hold))
	}
	if err != nil || s.Held == nil {
		return k, wrapFile(path, err)
	}
	d := view.Delta{Puts: fromStored(s.Held.Puts)}
	for _, r := range s.Held.Drops {
		d.Drops = append(d.Drops, view.Key{Kind: r.Kind, ID: r.ID})
	}
	k.since = s.Held.Since
	k.inForce, err = view.Apply(k.host, d)
	return k, wrapFile(path, err)
}

func wrapFile(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("feed: %s: %w", path, err)
}

// readStored reads a file and checks that it is whole.
func readStored(path string) (stored, error) {
	var s stored
	b, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("feed: %w", err)
	}
	head, body, _ := bytes.Cut(b, []byte("\n"))
	sum := sha256.Sum256(body)
	if string(head) != fileMagic+hex.EncodeToString(sum[:]) {
		return s, fmt.Errorf("feed: %s is damaged: its checksum does not fit", path)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("feed: %s is damaged: %w", path, err)
	}
	return s, nil
}

func fromStored(rows []storedRow) []view.Row {
	var out []view.Row
	for _, r := range rows {
		out = append(out, view.Row{Kind: r.Kind, ID: r.ID, Value: r.Value, Ignorable: r.Ignorable})
	}
	return out
}

func toStored(rows []view.Row) []storedRow {
	var out []storedRow
	for _, r := range rows {
		out = append(out, storedRow{r.Kind, r.ID, r.Value, r.Ignorable})
	}
	slices.SortFunc(out, func(a, b storedRow) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
	})
	return out
}

// store replaces the file as a whole: after a crash it is the old or the new.
func (k kept) store(ctx context.Context, path string) error {
	s := stored{Host: k.host.Name, Revision: k.revision, Taken: k.taken.UTC(), Rows: toStored(k.list()), Store: k.name, Hold: k.hold.list()}
	if k.inForce != nil && k.inForce != k.host {
		d := view.Diff(k.host, k.inForce)
		s.Held = &storedHeld{Since: k.since.UTC(), Puts: toStored(d.Puts)}
		for _, key := range d.Drops {
			s.Held.Drops = append(s.Held.Drops, storedRow{Kind: key.Kind, ID: key.ID, Value: json.RawMessage("null")})
		}
	}
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("feed: store view: %w", err)
	}
	sum := sha256.Sum256(body)
	head := fileMagic + hex.EncodeToString(sum[:]) + "\n"
	return replaceFile(ctx, path, append([]byte(head), body...))
}

func replaceFile(ctx context.Context, path string, content []byte) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = wholefile.Replace(ctx, path, content)
	}
	if err != nil {
		return fmt.Errorf("feed: store view: %w", err)
	}
	return nil
}

// saveGap is the least time between two writes of the file: a burst of changes
// costs one write. A freshly started agent without a server has nothing but the
// file, so the end of a connection does not wait for the gap.
const saveGap = time.Second

// save keeps the file up to date until the context ends, and once more then.
func (c *Client) save(ctx context.Context) {
	c.mu.Lock()
	h := &history{path: c.config.File, views: cmp.Or(c.config.Views, DefaultViews), last: c.accepted}
	c.mu.Unlock()
	for {
		select {
		case <-c.unsaved:
			c.saveNow(ctx, h)
		case <-ctx.Done():
			select {
			case <-c.unsaved:
				c.saveNow(ctx, h)
			default:
			}
			return
		}
		select {
		case <-time.After(saveGap):
		case <-c.lost:
		case <-ctx.Done():
		}
	}
}

func (c *Client) saveNow(ctx context.Context, h *history) {
	c.mu.Lock()
	k := c.accepted
	c.mu.Unlock()
	if k.revision == 0 {
		return
	}
	k.taken = time.Now()
	h.keep(ctx, k)
	if err := k.store(ctx, c.config.File); err != nil {
		slog.Error("feed: last view not kept", "err", err)
		return
	}
	h.last = k
}
