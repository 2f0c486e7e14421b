package main

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// market moves made-up prices as real ones do: random walks whose volatility comes in
// clusters, a spread that widens and comes back, trading in bursts, and a few symbols
// that make most of the trades. One seed always gives the same market.
type market struct {
	rand    *rand.Rand
	symbols []symbol
	shares  []float64     // of the trades: the running sum over the symbols, up to 1
	tempos  float64       // of trading, now
	left    time.Duration // of this tempo
}

// symbol is what is traded. Prices are in cents.
type symbol struct {
	topic          string
	price          float64 // what it is worth
	spread         float64 // mean reverting, around usualSpread
	usualSpread    float64
	heat           float64 // logarithm of how much more it moves than usual
	traded         time.Time
	bid, ask, last int64
	open           int64
	volume         int64 // shares since the opening
}

const (
	unrest    = 0.0008 // standard deviation of a price's logarithm in a second; a lively day
	heatRange = 0.7    // standard deviation of the heat
	heatTime  = 20.0   // seconds until two thirds of it are gone
	newsTime  = 300.0  // seconds between two pieces of news of a symbol
	newsHeat  = 1.5
	homesick  = 0.0005 // how much of the way back to the opening price it goes in a second
	lot       = 100    // shares

	calm, burst = 2.0 / 3, 4.0 // tempos; of ten one is a burst, so that the mean is 1
	tempoFor    = 250 * time.Millisecond
)

func newMarket(symbols int, seed uint64) *market {
	m := &market{rand: rand.New(rand.NewPCG(seed, seed)), symbols: make([]symbol, symbols), shares: make([]float64, symbols)}
	sum := 0.0
	for i := range m.symbols {
		sum += 1 / float64(i+1) // Zipf
		m.shares[i] = sum
		m.symbols[i] = m.list(i)
	}
	for i := range m.shares {
		m.shares[i] /= sum
	}
	return m
}

// list makes a symbol at its opening. Those that are traded less have wider spreads.
func (m *market) list(i int) symbol {
	price := math.Round(100 * 80 * math.Exp(0.8*m.rand.NormFloat64()))
	s := symbol{
		topic:       "ticks." + symbolName(i),
		price:       max(500, price),
		usualSpread: 1 + math.Log1p(float64(i)),
	}
	s.spread = s.usualSpread
	s.quote()
	s.open, s.last = int64(s.price), int64(s.price)
	return s
}

// tempo is how much faster or slower than usual trading is, 1 on average.
func (m *market) tempo(passed time.Duration) float64 {
	if m.left -= passed; m.left <= 0 {
		m.left, m.tempos = tempoFor, calm
		if m.rand.IntN(10) == 0 {
			m.tempos = burst
		}
	}
	return m.tempos
}

// trade moves one symbol, and gives it.
func (m *market) trade(now time.Time) *symbol {
	s := &m.symbols[m.pick()]
	passed := 1.0 // before the first trade
	if !s.traded.IsZero() {
		passed = min(60, now.Sub(s.traded).Seconds())
	}
	s.traded = now
	kept := math.Exp(-passed / heatTime)
	s.heat = kept*s.heat + heatRange*math.Sqrt(1-kept*kept)*m.rand.NormFloat64()
	if m.rand.Float64() < passed/newsTime {
		s.heat += newsHeat
	}
	wild := math.Exp(min(s.heat, 3))
	home := homesick * passed * math.Log(float64(s.open)/s.price)
	s.price = max(100, s.price*math.Exp(home+unrest*wild*math.Sqrt(passed)*m.rand.NormFloat64()))
	s.spread += 0.1*(s.usualSpread*math.Sqrt(wild)-s.spread) + 0.2*m.rand.NormFloat64()
	s.quote()
	s.last = s.bid
	if m.rand.IntN(2) == 0 {
		s.last = s.ask
	}
	s.volume += lot * int64(1+m.rand.ExpFloat64()*3*wild)
	return s
}

// pick draws a symbol by its share of the trades.
func (m *market) pick() int {
	at := m.rand.Float64()
	low, high := 0, len(m.shares)-1
	for low < high {
		if mid := (low + high) / 2; m.shares[mid] <= at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// quote sets bid and ask around the price, a tick of one cent apart at least.
func (s *symbol) quote() {
	s.bid = int64(math.Floor(s.price - max(0, s.spread-1)/2))
	s.ask = max(s.bid+1, int64(math.Ceil(s.price+max(0, s.spread-1)/2)))
}

// appendTick appends the data of a tick.
func (s *symbol) appendTick(dst []byte, now time.Time) []byte {
	dst = appendCents(append(dst, `{"bid":`...), s.bid)
	dst = appendCents(append(dst, `,"ask":`...), s.ask)
	dst = appendCents(append(dst, `,"last":`...), s.last)
	dst = strconv.AppendInt(append(dst, `,"vol":`...), s.volume, 10)
	dst = appendCents(append(dst, `,"open":`...), s.open)
	dst = strconv.AppendInt(append(dst, `,"t":`...), now.UnixMilli(), 10)
	return append(dst, '}')
}

// appendCents appends a price with its two decimals. It is not negative.
func appendCents(dst []byte, cents int64) []byte {
	dst = strconv.AppendInt(dst, cents/100, 10)
	return append(dst, '.', byte('0'+cents/10%10), byte('0'+cents%10))
}

// The names are made of a head and a tail, so that no two are the same. They are
// nobody's, as far as we know.
var (
	nameHeads = [...]string{
		"zel", "vor", "kym", "dru", "fyn", "gax", "hul", "jov", "qam", "mev", "nok", "ovi", "pry",
		"qer", "rud", "sko", "tiv", "ulb", "vex", "wyn", "yar", "zun", "bri", "caz", "exo",
	}
	nameTails = [...]string{
		"ab", "ek", "id", "og", "ut", "az", "em", "ip", "ov", "ug", "ap", "ez", "ib", "od", "uk", "av", "eb", "iz", "op", "um",
		"ak", "ed", "ig", "ot", "ub", "ag", "ev", "im", "oz", "up", "at", "eg", "ik", "ob", "ud", "ad", "et", "iv", "ok", "uz",
	}
)

// symbolName gives the name of a symbol, in lower case. Neighbours differ in both
// parts.
func symbolName(i int) string {
	head, round := i%len(nameHeads), i/len(nameHeads)
	return nameHeads[head] + nameTails[(round+7*head)%len(nameTails)]
}
