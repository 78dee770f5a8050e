package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
)

// openDB opens a store on a file, or in memory, until the test ends.
func openDB(t testing.TB, path string) *store.DB {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// numbered is a port as the API would store it.
func numbered(n uint32, net, subnet neutrino.ID) *neutrino.Port {
	var random [16]byte
	for i := range random {
		random[i] = byte(n * 2654435761 >> (i % 4 * 8) * uint32(i+1))
	}
	random[0], random[1], random[2], random[3] = byte(n>>24), byte(n>>16), byte(n), byte(n>>8)
	now := time.Unix(1_700_000_000, 0).UTC()
	return &neutrino.Port{
		ID: neutrino.NewID(random), NetworkID: net, ProjectID: "default", AdminStateUp: true,
		Name: fmt.Sprintf("port-%d", n), Status: neutrino.PortDown,
		MAC:      neutrino.MAC{0xfa, 0x16, 0x3e, byte(n >> 16), byte(n >> 8), byte(n)},
		FixedIPs: []neutrino.FixedIP{{SubnetID: subnet, IPAddress: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})}},
		DeviceID: fmt.Sprintf("device-%d", n), DeviceOwner: "compute:nova",
		SecurityGroups: []neutrino.ID{"7a9d0f6c-2f38-4c53-a3e5-9b07e8a4a4c1"}, PortSecurityEnabled: true,
		VNICType: "normal", VIFType: neutrino.VIFUnbound, Profile: "{}",
		Standard: neutrino.Standard{CreatedAt: now, UpdatedAt: now},
	}
}

// createPort writes a port with the claims that make its MAC and address unique.
func createPort(ctx context.Context, db *store.DB, p *neutrino.Port) error {
	_, err := db.Update(ctx, func(tx *store.Tx) error {
		if !store.Exists(tx, store.Networks, p.NetworkID) {
			return neutrino.Errorf(neutrino.NotFound, "NetworkNotFound", "no network")
		}
		ip := p.FixedIPs[0]
		if !tx.Claim("mac/"+string(p.NetworkID)+"/"+p.MAC.String(), string(p.ID)) ||
			!tx.Claim("ip/"+string(ip.SubnetID)+"/"+ip.IPAddress.String(), string(p.ID)) ||
			!tx.Claim("network-port/"+string(p.NetworkID)+"/"+string(p.ID), string(p.ID)) {
			return neutrino.Errorf(neutrino.Conflict, "InUse", "taken")
		}
		store.Put(tx, store.Ports, p)
		return nil
	})
	return err
}

func benchmarkCreate(b *testing.B, clients int) {
	db := openDB(b, filepath.Join(b.TempDir(), "db"))
	ctx := b.Context()
	const net, subnet = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	if _, err := db.Update(ctx, func(tx *store.Tx) error {
		store.Put(tx, store.Networks, &neutrino.Network{ID: net, NetworkType: neutrino.GRE, SegmentationID: 1})
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				start := time.Now()
				if err := createPort(ctx, db, numbered(uint32(i), net, subnet)); err != nil {
					b.Error(err)
					return
				}
				took[i-1] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ports/s")
}

func BenchmarkCreateSequential(b *testing.B) { benchmarkCreate(b, 1) }
func BenchmarkCreateParallel16(b *testing.B) { benchmarkCreate(b, 16) }

// BenchmarkSnapshot shows that a snapshot costs the same at any size.
func BenchmarkSnapshot(b *testing.B) {
	db := openDB(b, sqlite.Memory)
	for b.Loop() {
		_ = db.Snapshot()
	}
}
