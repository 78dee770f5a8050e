package check

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"neutrino"
	"neutrino/lab"
)

// TestMain lets the tests run in a child: the labs that they bring up are
// taken down by us, also when the child panics or runs into its timeout.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() || os.Geteuid() != 0 || os.Getenv(labsDir) != "" {
		os.Exit(m.Run())
	}
	// The child gets the terminal's Ctrl-C too and ends by it; we clean up.
	ignored := make(chan os.Signal, 8)
	signal.Notify(ignored, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	code, err := runChild()
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// labsDir names the directory for the labs and their binary to the child.
const labsDir = "NEUTRINO_CHECK_LABS"

// runChild builds the binary, runs the tests with it, and takes down every lab
// that they left.
func runChild() (code int, err error) {
	dir, err := os.MkdirTemp("", "check-")
	if err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "neutrino"), "neutrino/cmd/neutrino")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, errors.Join(fmt.Errorf("build: %w: %s", err, out), os.RemoveAll(dir))
	}
	child := exec.Command(os.Args[0], os.Args[1:]...)
	child.Env = append(os.Environ(), labsDir+"="+dir)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	err = child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, err = max(exit.ExitCode(), 1), nil
	}
	left, e := filepath.Glob(filepath.Join(dir, "*", "lab.json"))
	err = errors.Join(err, e)
	for _, record := range left {
		err = errors.Join(err, down(filepath.Dir(record)))
	}
	// Not RemoveAll: what a lab left is a failure.
	return code, errors.Join(err, os.Remove(filepath.Join(dir, "neutrino")), os.Remove(dir))
}

func down(dir string) error {
	l, err := lab.New(context.Background(), lab.Settings{Name: filepath.Base(dir), Dir: dir})
	if err != nil {
		return err
	}
	return l.Down(context.Background())
}

// cloud brings up a lab of the test's own, which is down when the test ends.
func cloud(t *testing.T, s lab.Settings) (context.Context, *lab.Lab) {
	t.Helper()
	dir := os.Getenv(labsDir)
	if dir == "" {
		t.Skip("SKIPPED: NOT ROOT, OR -short. The seed's rows need a lab of their own; run them with sudo.")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	s.Name = filepath.Base(dir) + "-" + string(s.Type)
	s.Dir, s.Binary = filepath.Join(dir, string(s.Type)), filepath.Join(dir, "neutrino")
	l, err := lab.New(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	l.Progress = t.Output()
	t.Cleanup(func() {
		if err := down(s.Dir); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	if _, err := l.Up(ctx, lab.UpOptions{}); err != nil {
		t.Fatal(err)
	}
	return ctx, l
}

// hold runs the rows, all of them without ids, and fails with those that do not.
func hold(t *testing.T, ctx context.Context, l *lab.Lab, ids ...string) (tried int) {
	t.Helper()
	failed, err := Run(ctx, l, ids, func(r Result) {
		tried++
		t.Log(r)
		if !r.OK {
			t.Errorf("%v", r)
		}
	})
	if err != nil {
		t.Errorf("after %d rows, %d of them failed: %v", tried, failed, err)
	}
	return tried
}

// seedRows is how many rows the seed has.
const seedRows = 180

func TestEveryRowOfTheSeedHasOneLine(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rows() {
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
		if (r.Try == nil) == (r.Want == nil) || r.Try == nil && r.On == "" || r.Show == "" || r.Line == "" {
			t.Errorf("%s: want a line, a command, and either Try, or On and Want", r.ID)
		}
	}
	if len(seen) != seedRows {
		t.Errorf("%d rows, want %d", len(seen), seedRows)
	}
}

func TestTheSeedHoldsOnGRE(t *testing.T) {
	ctx, l := cloud(t, lab.Settings{Type: neutrino.GRE, Networks: 2})
	if n := hold(t, ctx, l); n != seedRows {
		t.Errorf("%d rows were tried, want %d", n, seedRows)
	}
	t.Run("tenants are apart", func(t *testing.T) { tenantsAreApart(t, ctx, l) })
}

// ofTheType are the rows that look at what carries the network.
var ofTheType = strings.Fields("S001 S006 S068 S069 S080 S081 S082 S083 S085 S086 S087 S088 S089 S090 S091 S095 " +
	"S100 S101 S102 S103 S104 S105 S106 S116 S128 S142 S171 S192 S193 S194 S196 S230 S231 S232 S233")

func TestTheRowsOfTheTypeHoldOnTheOthers(t *testing.T) {
	for _, kind := range []neutrino.NetworkType{neutrino.VXLAN, neutrino.Geneve} {
		t.Run(string(kind), func(t *testing.T) {
			ctx, l := cloud(t, lab.Settings{Type: kind})
			if n := hold(t, ctx, l, ofTheType...); n != len(ofTheType) {
				t.Errorf("%d rows were tried, want %d", n, len(ofTheType))
			}
		})
	}
}
