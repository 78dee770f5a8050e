package feed

import (
	"bytes"
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
	"time"

	"neutrino/view"
)

// The file of a view is one line, "neutrino view 1 <sha256 of the rest>", and
// then the stored form as JSON.
const fileMagic = "neutrino view 1 "

type stored struct {
	Host     string      `json:"host"`
	Revision int64       `json:"revision"`
	Rows     []storedRow `json:"rows"`
}

type storedRow struct {
	Kind  string          `json:"kind"`
	ID    string          `json:"id"`
	Value json.RawMessage `json:"value"`
}

// load reads a view from its file; without a file the revision is 0.
func load(_ context.Context, path, host string) (holding, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return holding{}, nil
	}
	if err != nil {
		return holding{}, fmt.Errorf("feed: %w", err)
	}
	head, body, _ := bytes.Cut(b, []byte("\n"))
	sum := sha256.Sum256(body)
	if string(head) != fileMagic+hex.EncodeToString(sum[:]) {
		return holding{}, fmt.Errorf("feed: %s is damaged: its checksum does not fit", path)
	}
	var s stored
	if err := json.Unmarshal(body, &s); err != nil {
		return holding{}, fmt.Errorf("feed: %s is damaged: %w", path, err)
	}
	if s.Host != host {
		return holding{}, fmt.Errorf("feed: %s is the view of host %q, this is %q", path, s.Host, host)
	}
	st := stage{full: true}
	for _, r := range s.Rows {
		st.delta.Puts = append(st.delta.Puts, view.Row{Kind: r.Kind, ID: r.ID, Value: r.Value})
	}
	h, err := st.commit(holding{host: view.New(host)}, s.Revision)
	if err != nil {
		return holding{}, fmt.Errorf("feed: %s: %w", path, err)
	}
	return h, nil
}

// store replaces the file as a whole: after a crash it is the old or the new.
func (h holding) store(ctx context.Context, path string) error {
	s := stored{Host: h.host.Name, Revision: h.revision}
	for _, r := range h.list() {
		s.Rows = append(s.Rows, storedRow{r.Kind, r.ID, r.Value})
	}
	slices.SortFunc(s.Rows, func(a, b storedRow) int {
		if c := bytes.Compare([]byte(a.Kind), []byte(b.Kind)); c != 0 {
			return c
		}
		return bytes.Compare([]byte(a.ID), []byte(b.ID))
	})
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("feed: store view: %w", err)
	}
	sum := sha256.Sum256(body)
	head := fileMagic + hex.EncodeToString(sum[:]) + "\n"
	return replaceFile(ctx, path, append([]byte(head), body...))
}

func replaceFile(_ context.Context, path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("feed: store view: %w", err)
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("feed: store view: %w", err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("feed: store view: %w", err), os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("feed: store view: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// saveGap is the least time between two writes of the file: a burst of changes
// costs one write. A freshly started agent without a server has nothing but the
// file, so the end of a connection does not wait for the gap.
const saveGap = time.Second

// save keeps the file up to date until the context ends, and once more then.
func (c *Client) save(ctx context.Context) {
	for {
		select {
		case <-c.unsaved:
			c.saveNow(ctx)
		case <-ctx.Done():
			select {
			case <-c.unsaved:
				c.saveNow(ctx)
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

func (c *Client) saveNow(ctx context.Context) {
	c.mu.Lock()
	h := c.held
	c.mu.Unlock()
	if h.revision == 0 {
		return
	}
	if err := h.store(ctx, c.config.File); err != nil {
		slog.Error("feed: last view not kept", "err", err)
	}
}
