package api

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"neutrino/store/engine/sqlite"
)

// benchServer is the API on a durable store, behind a real TCP listener.
func benchServer(b *testing.B) (*cloud, *httptest.Server) {
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo}))
	c := openCloud(b, sqlite.Options{Path: filepath.Join(b.TempDir(), "neutrino.db")}, Options{Log: log})
	srv := httptest.NewServer(c.h)
	srv.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.Cleanup(srv.Close)
	return c, srv
}

// benchNetwork is a network with room for 65,000 ports.
func benchNetwork(c *cloud) string {
	net := c.network("bench")
	c.subnet(net, "10.0.0.0/16")
	return fmt.Sprintf(`{"port":{"network_id":%q}}`, net)
}

func createPort(b *testing.B, srv *httptest.Server, body string) time.Duration {
	start := time.Now()
	resp, err := srv.Client().Post(srv.URL+"/v2.0/ports", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		b.Error(err)
		return 0
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusCreated {
		b.Errorf("%d: %s", resp.StatusCode, text)
	}
	return time.Since(start)
}

// reportLatency reports the median and the 99th percentile.
func reportLatency(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func BenchmarkCreatePortSequential(b *testing.B) {
	c, srv := benchServer(b)
	body := benchNetwork(c)
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		took = append(took, createPort(b, srv, body))
	}
	reportLatency(b, took)
}

func BenchmarkCreatePort16(b *testing.B) {
	c, srv := benchServer(b)
	body := benchNetwork(c)
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var clients sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for range 16 {
		clients.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				took[i] = createPort(b, srv, body)
			}
		})
	}
	clients.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "ports/s")
	reportLatency(b, took)
}

func BenchmarkListPorts5000(b *testing.B) {
	c := openCloud(b, sqlite.Options{Path: sqlite.Memory}, Options{})
	body := benchNetwork(c)
	one := body[len(`{"port":`) : len(body)-1]
	for range 50 {
		many := bytes.Repeat([]byte(one+","), 100)
		c.do("POST", "/v2.0/ports", `{"ports":[`+string(many[:len(many)-1])+`]}`).want(201)
	}
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		a := c.get("/v2.0/ports")
		took = append(took, time.Since(start))
		if a.status != 200 || len(a.text) < 5000*500 {
			b.Fatalf("%d, %d bytes", a.status, len(a.text))
		}
	}
	reportLatency(b, took)
}
