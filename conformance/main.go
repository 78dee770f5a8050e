// Command conformance lets real clients of the Networking API loose on
// neutrino: a Keystone of Debian on loopback, a `neutrino server` that believes
// its tokens, hosts with live agents, and against them the `openstack` client,
// gophercloud, tempest.api.network and neutron_tempest_plugin.api. It prints
// what passed, what failed and why, and each skip with its reason; a failure is
// its exit code.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what a run is asked to do.
type options struct {
	parts         []string
	regex         string // of tempest's tests
	binary        string // of neutrino
	story         string // the test binary of conformance/gophercloud
	provider      string // the test binary of Terraform's OpenStack provider
	terraformPath string // Terraform itself
	results       string // directory for what outlives the run
	format        string // text or json
	concurrency   int    // of tempest
	hold          bool
	verbose       bool
}

// The parts of a run.
const (
	partOpenstack   = "openstack"
	partGophercloud = "gophercloud"
	partTerraform   = "terraform"
	partHorizon     = "horizon"
	partTempest     = "tempest"
	// partNeutron is the suite that Neutron's own developers test it with.
	partNeutron = "neutron-tempest"
	partNova    = "nova"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		stop()
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string) (options, error) {
	o := options{}
	fs := flag.NewFlagSet("conformance", flag.ContinueOnError)
	parts := fs.String("parts", strings.Join(allParts(), ","), "what to run, comma-separated; none with -hold for the cloud alone")
	fs.StringVar(&o.regex, "regex", "", "tests to run, of tempest's or of Terraform's provider's; all without")
	fs.StringVar(&o.binary, "binary", "bin/neutrino", "the program under test")
	fs.StringVar(&o.story, "story", "bin/gophercloud.test", "the story of gophercloud, compiled by go test -c")
	fs.StringVar(&o.provider, "provider", "bin/terraform/provider.test", "the acceptance tests of Terraform's OpenStack provider")
	fs.StringVar(&o.terraformPath, "terraform", "bin/terraform/terraform", "Terraform")
	fs.StringVar(&o.results, "results", "bin/conformance.d", "directory for results and the logs of a run that failed")
	fs.StringVar(&o.format, "o", "text", "text or json")
	fs.IntVar(&o.concurrency, "concurrency", 2, "tempest's workers")
	fs.BoolVar(&o.hold, "hold", false, "leave the cloud running at the end, until Ctrl-C")
	fs.BoolVar(&o.verbose, "v", false, "name also what passed")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	for _, p := range strings.Split(*parts, ",") {
		if p = strings.TrimSpace(p); p == "" || p == "none" {
			continue
		}
		if !slices.Contains(allParts(), p) {
			return o, fmt.Errorf("-parts: %q is no part; choose from %s", p, strings.Join(allParts(), ", "))
		}
		o.parts = append(o.parts, p)
	}
	if o.format != "text" && o.format != "json" {
		return o, fmt.Errorf("-o: %q is no format; write text or json", o.format)
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("%q: there are flags only", fs.Arg(0))
	}
	return o, nil
}

func allParts() []string {
	return []string{partOpenstack, partGophercloud, partTerraform, partHorizon, partTempest, partNeutron, partNova}
}

// run brings the cloud up, runs the parts and takes all of it down again.
func run(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the hosts need namespaces: run it as root")
	}
	for _, path := range []*string{&o.binary, &o.story, &o.provider, &o.terraformPath} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if err := sweep(ctx); err != nil {
		return err
	}
	s, err := newStack(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(ctx, err)) }()
	if err := s.up(ctx); err != nil {
		return err
	}
	r := report{Began: time.Now().UTC()}
	for _, part := range o.parts {
		began := time.Now()
		var results []result
		switch part {
		case partOpenstack:
			results, err = s.openstack(ctx)
		case partGophercloud:
			results, err = s.gophercloud(ctx)
		case partTerraform:
			results, err = s.terraform(ctx)
		case partHorizon:
			results, err = s.horizon(ctx)
		case partTempest:
			results, err = s.tempest(ctx, tempestSuite())
		case partNeutron:
			results, err = s.tempest(ctx, neutronSuite())
		case partNova:
			results, err = s.nova(ctx)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		r.add(part, time.Since(began), results)
	}
	if err := r.write(ctx, o); err != nil {
		return err
	}
	if o.hold {
		s.say("the cloud is up: . %s; end it with Ctrl-C", s.path("openrc"))
		<-ctx.Done()
	}
	return r.verdict()
}
