package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"neutrino/config"
	"neutrino/intent/space"
	"neutrino/intent/work"
	"neutrino/store"
)

// spaceInterval is the time between two looks at how full the spaces are.
const spaceInterval = 10 * time.Second

// spaces are the shared spaces of a server that have an end, with their alarms.
type spaces struct {
	db     *store.DB
	config work.Config
	dir    string // of the store; "" where it is in memory
	ratio  *prometheus.Desc

	mu     sync.Mutex
	alarms space.Alarms
}

func newSpaces(db *store.DB, c work.Config, v *config.Values) *spaces {
	s := &spaces{db: db, config: c, ratio: prometheus.NewDesc("neutrino_space_used_ratio",
		"Used part of a space that has an end, 0 to 1; from 0.8 on the log and /readyz say so.", []string{"space", "of"}, nil)}
	if file, ok := strings.CutPrefix(v.String("database", "connection"), "sqlite:///"); ok {
		s.dir = filepath.Dir(file)
	}
	return s
}

// all are the spaces as they are now.
func (s *spaces) all() []space.Space {
	out := space.All(s.db.Snapshot(), &s.config)
	if disk, ok := diskOf(s.dir); ok {
		out = append(out, disk)
	}
	return out
}

// diskOf is the file system with a directory, in bytes. What only root may fill is
// not counted as free.
func diskOf(dir string) (space.Space, bool) {
	var fs unix.Statfs_t
	if dir == "" || unix.Statfs(dir, &fs) != nil {
		return space.Space{}, false
	}
	used := int64(fs.Blocks - fs.Bfree)
	return space.Space{Kind: space.StoreOnDisk, Of: "store", Used: used * fs.Bsize, Size: (used + int64(fs.Bavail)) * fs.Bsize}, true
}

// watch looks at the spaces until the context ends, and logs each alarm once when
// it begins and once when it ends.
func (s *spaces) watch(ctx context.Context) error {
	tick := time.NewTicker(spaceInterval)
	defer tick.Stop()
	for {
		s.look()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *spaces) look() {
	now := s.all()
	s.mu.Lock()
	begun, ended := s.alarms.Look(now)
	s.mu.Unlock()
	for _, b := range begun {
		slog.Warn("server: a shared space is nearly full", "space", b.Kind, "of", b.Of, "used", b.Used, "size", b.Size)
	}
	for _, e := range ended {
		slog.Info("server: a shared space has room again", "space", e.Kind, "of", e.Of, "used", e.Used, "size", e.Size)
	}
}

// notes say in /readyz which kinds of spaces are nearly full; whose they are, the
// log says.
func (s *spaces) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	fullest := map[string]float64{}
	var kinds []string
	for _, on := range s.alarms.On() {
		if _, seen := fullest[on.Kind]; !seen {
			kinds = append(kinds, on.Kind)
		}
		fullest[on.Kind] = max(fullest[on.Kind], on.Ratio())
	}
	var out []string
	for _, kind := range kinds {
		out = append(out, fmt.Sprintf("%s: %.0f %% are used", kind, fullest[kind]*100))
	}
	return out
}

// Describe names the figure.
func (s *spaces) Describe(to chan<- *prometheus.Desc) { to <- s.ratio }

// Collect reads the figures.
func (s *spaces) Collect(to chan<- prometheus.Metric) {
	for _, one := range s.all() {
		to <- prometheus.MustNewConstMetric(s.ratio, prometheus.GaugeValue, one.Ratio(), one.Kind, one.Of)
	}
}
