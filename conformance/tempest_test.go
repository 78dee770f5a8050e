package main

import (
	"slices"
	"testing"
)

func TestTestsWithoutEventsShareTheFateOfTheirClass(t *testing.T) {
	log := &testLog{say: func(string, ...any) {}, tests: map[string]*testRun{}}
	for _, p := range []packet{
		{test: "setUpClass (m.Skipped)", file: "reason", content: []byte("no compute service")},
		{test: "setUpClass (m.Skipped)", status: testSkipped},
		{test: "setUpClass (m.Broken)", file: "traceback", content: []byte("Traceback:\n  File x\n    call()\nKeyError: 'y'\n")},
		{test: "setUpClass (m.Broken)", status: testFailed},
		{test: "m.Fine.test_a[id-1]", status: testInProgress},
		{test: "m.Fine.test_a[id-1]", status: testSuccess},
		{test: "tearDownClass (m.Fine)", status: testFailed},
		{test: "m.Fine.test_hung", status: testInProgress},
	} {
		log.take(p)
	}
	got := log.results([]string{"m.Skipped.test_s[id-2]", "m.Broken.test_b", "m.Fine.test_a[id-1]", "m.Fine.test_hung", "m.Gone.test_g"})
	want := []result{
		{Name: "m.Skipped.test_s", Status: skipped, Reason: "no compute service"},
		{Name: "m.Broken.test_b", Status: failed, Reason: "call()\nKeyError: 'y'"},
		{Name: "m.Fine.test_a", Status: passed},
		{Name: "m.Fine.test_hung", Status: failed},
		{Name: "m.Gone.test_g", Status: failed, Reason: "it did not run, or did not end"},
		{Name: "tearDownClass (m.Fine)", Status: failed},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWhatIsLeftOutIsSkippedWithItsReason(t *testing.T) {
	u := suite{without: map[string]string{"m.C.test_b": "it is wrong"}}
	tests, results := u.leaveOut([]string{"m.C.test_a[id-1]", "m.C.test_b[id-2]", "m.C.test_bc"})
	if want := []string{"m.C.test_a[id-1]", "m.C.test_bc"}; !slices.Equal(tests, want) {
		t.Errorf("runs %q", tests)
	}
	if want := []result{{Name: "m.C.test_b", Status: skipped, Reason: "left out: it is wrong"}}; !slices.Equal(results, want) {
		t.Errorf("leaves out %+v", results)
	}
}

func TestReportFailsWhenSomethingFailedOrNothingRan(t *testing.T) {
	for name, c := range map[string]struct {
		results []result
		fails   bool
	}{
		"all well":     {[]result{{Status: passed}, {Status: skipped}}, false},
		"one failure":  {[]result{{Status: passed}, {Status: failed}}, true},
		"skipped only": {[]result{{Status: skipped}}, true},
		"nothing":      {nil, true},
	} {
		r := &report{}
		r.add("part", 0, c.results)
		if err := r.verdict(); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}
