package pubsub

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// checkLookups fills both trees, takes every other name away, and compares what is
// found before and after. It is where FuzzMatch meets the trees.
func checkLookups(t *testing.T, patterns, topics []string) {
	var byPattern trie[string]
	var byTopic topicTree[string]
	for _, p := range slices.Concat(patterns, patterns) {
		byPattern.set(p, p)
	}
	for _, topic := range slices.Concat(topics, topics) {
		byTopic.set(topic, topic)
	}
	compareLookups(t, &byPattern, &byTopic, patterns, topics)

	p0, p1 := everyOther(patterns)
	t0, t1 := everyOther(topics)
	for _, p := range slices.Concat(p1, p1, []string{"none", "none.>"}) {
		byPattern.remove(p)
	}
	for _, topic := range slices.Concat(t1, t1, []string{"none", "none.a"}) {
		byTopic.remove(topic)
	}
	compareLookups(t, &byPattern, &byTopic, p0, t0)
	compareHeld(t, &byPattern.tokenTree, p0, p1)
	compareHeld(t, &byTopic.tokenTree, t0, t1)
}

func everyOther(names []string) (even, odd []string) {
	for i, name := range names {
		if i%2 == 0 {
			even = append(even, name)
		} else {
			odd = append(odd, name)
		}
	}
	return even, odd
}

func compareLookups(t *testing.T, byPattern *trie[string], byTopic *topicTree[string], patterns, topics []string) {
	for _, topic := range topics {
		var got []string
		byPattern.match(topic, func(p string) { got = append(got, p) })
		want := slices.DeleteFunc(slices.Clone(patterns), func(p string) bool {
			return !refMatch(tokensOf(p), tokensOf(topic))
		})
		slices.SortFunc(want, compareOrder)
		if !slices.Equal(got, want) {
			t.Errorf("patterns for %s: got %q, want %q", topic, got, want)
		}
	}
	for _, p := range patterns {
		var got []string
		byTopic.match(p, func(topic string) bool { got = append(got, topic); return true })
		want := slices.DeleteFunc(slices.Clone(topics), func(topic string) bool {
			return !refMatch(tokensOf(p), tokensOf(topic))
		})
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("topics for %s: got %q, want %q", p, got, want)
		}
	}
}

// compareOrder is the order of trie.match between patterns for one topic: > before *
// before a token, from the first on.
func compareOrder(p, q string) int {
	rank := map[string]int{anyRest: -2, anyToken: -1}
	return slices.CompareFunc(tokensOf(p), tokensOf(q), func(x, y string) int { return cmp.Compare(rank[x], rank[y]) })
}

func compareHeld(t *testing.T, tree *tokenTree[string], held, gone []string) {
	if tree.len() != len(held) {
		t.Errorf("len is %d, want %d", tree.len(), len(held))
	}
	for _, name := range held {
		if v, ok := tree.get(name); v != name || !ok {
			t.Errorf("get %s: %q, %v", name, v, ok)
		}
	}
	for _, name := range gone {
		if v, ok := tree.get(name); v != "" || ok {
			t.Errorf("get %s, which is gone: %q", name, v)
		}
	}
}

func TestTrieOrder(t *testing.T) {
	want := []string{">", "*.>", "*.*", "*.b", "a.>", "a.*", "a.b"}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		var tr trie[string]
		for _, i := range rng.Perm(len(want)) {
			tr.set(want[i], want[i])
		}
		var got []string
		tr.match("a.b", func(p string) { got = append(got, p) })
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestTopicTreeStops(t *testing.T) {
	var tree topicTree[int]
	for i := range 100 {
		tree.set(fmt.Sprintf("a%d.b%d", i%10, i/10), i)
		tree.set(fmt.Sprintf("a%d", i%10), i)
	}
	for _, pattern := range []string{">", "*", "*.*", "*.>", "*.b7", "a3.*", "a3.>", "a3.b7"} {
		for stop := 1; stop < 4; stop++ {
			var all, seen int
			tree.match(pattern, func(int) bool { all++; return true })
			tree.match(pattern, func(int) bool { seen++; return seen < stop })
			if seen != min(stop, all) {
				t.Errorf("%s: %d visits, want %d of %d", pattern, seen, stop, all)
			}
		}
	}
}

func TestTrieRemoveNothing(t *testing.T) {
	var tr trie[int]
	tr.set("a.b", 1)
	for _, p := range []string{"a", "b", "a.*", "a.b.c", ">"} {
		tr.remove(p)
		if _, ok := tr.get("a.b"); !ok || tr.len() != 1 {
			t.Errorf("%s, which is not there: len is %d, and a.b is there: %v", p, tr.len(), ok)
		}
	}
}

func TestTrieAllocatesNothing(t *testing.T) {
	var byPattern trie[int]
	var byTopic topicTree[int]
	for i := range 100 {
		byTopic.set(fmt.Sprintf("ticks.s%d.bid", i), i)
		byPattern.set(fmt.Sprintf("ticks.s%d.bid", i), i)
	}
	for _, p := range []string{">", "ticks.>", "ticks.*.bid", "*.s1.*", "*.*.*"} {
		byPattern.set(p, 1)
	}
	sum := 0
	for name, lookup := range map[string]func(){
		"trie.match":      func() { byPattern.match("ticks.s1.bid", func(v int) { sum += v }) },
		"trie.get":        func() { byPattern.get("ticks.*.bid") },
		"topicTree.match": func() { byTopic.match("ticks.*.bid", func(v int) bool { sum += v; return true }) },
		"topicTree.match/deep": func() {
			byTopic.match(">", func(v int) bool { sum += v; return true })
		},
		"Match":    func() { Match("ticks.*.bid", "ticks.s1.bid") },
		"overlaps": func() { overlaps("ticks.*.bid", "*.s1.>") },
	} {
		if n := testing.AllocsPerRun(100, lookup); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if sum == 0 {
		t.Error("nothing was found")
	}
}

func TestTrieChurnLeavesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var tr, empty trie[int]
	for range 20 {
		names := map[string]bool{}
		for range 500 {
			names[randomPattern(rng)] = true
		}
		order := slices.Sorted(maps.Keys(names))
		for _, task := range []func(string){func(p string) { tr.set(p, 1) }, tr.remove} {
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, p := range order {
				task(p)
			}
		}
		if !reflect.DeepEqual(tr, empty) {
			t.Fatalf("left behind: %+v", tr)
		}
	}
}

func randomPattern(rng *rand.Rand) string {
	tokens := make([]string, 1+rng.IntN(5))
	for i := range tokens {
		tokens[i] = []string{"a", "b", "c", "d", anyToken}[rng.IntN(5)]
	}
	if rng.IntN(4) == 0 {
		tokens[len(tokens)-1] = anyRest
	}
	return strings.Join(tokens, ".")
}

// TestTokenNodeSize pins what a topic costs at least, beside its place in a map.
func TestTokenNodeSize(t *testing.T) {
	if got := unsafe.Sizeof(tokenNode[*int]{}); got != 48 {
		t.Errorf("%d bytes", got)
	}
}

// BenchmarkMatchTopic has one pattern per topic and five with wildcards. With many,
// what it costs more are cache misses.
func BenchmarkMatchTopic(b *testing.B) {
	for _, patterns := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("patterns=%d", patterns), func(b *testing.B) {
			var tr trie[int]
			for _, p := range []string{">", "ticks.>", "ticks.*.bid", "*.*.bid", "orders.>"} {
				tr.set(p, 1)
			}
			topics := make([]string, patterns-tr.len())
			for i := range topics {
				topics[i] = fmt.Sprintf("ticks.s%d.bid", i)
				tr.set(topics[i], 1)
			}
			sum, next := 0, 0
			visit := func(v int) { sum += v }
			b.ReportAllocs()
			for b.Loop() {
				tr.match(topics[next], visit)
				next = (next + 1) % len(topics)
			}
			if sum != 5*b.N {
				b.Fatalf("%d matches, want %d", sum, 5*b.N)
			}
		})
	}
}
