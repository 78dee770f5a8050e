package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"neutrino/host/inside"
	"neutrino/lab"
)

// forwardPort lets a TCP port of a host's loopback lead to the same port of the
// loopback that we are on, so that a service of the machine has one address
// everywhere. It ends with the program, or by stop.
func forwardPort(ctx context.Context, h *lab.Host, port int) (stop func() error, err error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	var ln net.Listener
	path := filepath.Join("/proc", strconv.Itoa(h.Holder), "ns/net")
	err = inside.Namespace(path, func() (err error) {
		var lc net.ListenConfig
		ln, err = lc.Listen(ctx, "tcp", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: forward port %d: %w", h.Name, port, err)
	}
	go carry(ln, address)
	return ln.Close, nil
}

// carry carries the connections of a listener to an address, until it closes.
func carry(ln net.Listener, address string) {
	for {
		from, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // that connection is lost
		}
		go func() {
			defer from.Close()
			to, err := net.Dial("tcp", address)
			if err != nil {
				return // as a port where nobody listens
			}
			defer to.Close()
			join(from, to)
		}()
	}
}

// join carries what each of two connections sends to the other, and its end.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0]) // an end is an end
			if tcp, ok := way[1].(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		})
	}
	both.Wait()
}
