'use strict'
const STATES = { running: 'Running.', done: 'Done.', stopped: 'Stopped early.', failed: 'Broken off.' }
const SVG = 'http://www.w3.org/2000/svg'
const cards = new Map()
const part = id => document.getElementById(id)
const text = (id, value) => { part(id).textContent = value }
const figure = value => value >= 1000
  ? Math.round(value).toLocaleString('en')
  : value.toLocaleString('en', { maximumSignificantDigits: 4 })

function made(parent, name, css, ns) {
  const each = ns ? document.createElementNS(ns, name) : document.createElement(name)
  if (css) each.setAttribute('class', css)
  parent.append(each)
  return each
}

function card(query) {
  const article = made(part('estimates'), 'article', 'estimate card')
  made(article, 'h2').textContent = query
  const parts = { points: [] }
  for (const name of ['value', 'interval', 'met']) parts[name] = made(article, 'p', name)
  parts.drawing = made(article, 'svg', '', SVG)
  parts.drawing.setAttribute('viewBox', '0 0 100 100')
  parts.drawing.setAttribute('preserveAspectRatio', 'none')
  parts.drawing.setAttribute('role', 'img')
  parts.drawing.setAttribute('aria-label', 'estimate and interval by photos answered')
  parts.band = made(parts.drawing, 'polygon', '', SVG)
  parts.line = made(parts.drawing, 'polyline', '', SVG)
  return parts
}

function draw(parts, photos) {
  const shown = parts.points.filter(point => point.low !== null)
  const points = shown.length ? shown.slice(shown.length > 12 ? Math.floor(shown.length / 12) : 0) : parts.points
  const lows = points.map(point => point.low ?? point.value), highs = points.map(point => point.high ?? point.value)
  const least = Math.min(...lows), most = Math.max(...highs), span = most - least
  const at = (count, value) => `${(100 * count / photos).toFixed(2)},${(span ? 95 - 90 * (value - least) / span : 50).toFixed(2)}`
  const upper = points.map((point, i) => at(point.counted, highs[i]))
  const lower = points.map((point, i) => at(point.counted, lows[i]))
  parts.band.setAttribute('points', [...upper, ...lower.reverse()].join(' '))
  parts.line.setAttribute('points', points.map(point => at(point.counted, point.value)).join(' '))
}

function estimate(each, run) {
  if (!cards.has(each.query)) cards.set(each.query, card(each.query))
  const parts = cards.get(each.query)
  parts.points.push({ ...each, counted: run.counted })
  parts.value.textContent = figure(each.value)
  parts.interval.textContent = each.low === null
    ? 'no interval: photos come in no random order'
    : `${figure(each.low)} to ${figure(each.high)} (${figure(100 * run.level)} %)`
  parts.met.textContent = each.is_met === null ? '' : each.is_met ? 'as exact as was asked' : `until ${run.until}`
  draw(parts, run.photos)
}

function show(run) {
  const settled = run.answered + run.failed, share = run.photos ? 100 * settled / run.photos : 0
  text('state', run.message ? `${STATES[run.state]} ${run.message}` : STATES[run.state])
  text('answered', `${run.answered.toLocaleString('en')} of ${run.photos.toLocaleString('en')}`)
  text('failed', run.failed.toLocaleString('en'))
  text('billed', run.usd === null ? figure(run.billed) : `${figure(run.billed)} ($${run.usd.toFixed(2)})`)
  text('saved', run.saved === null ? 'none yet' : `${(100 * run.saved).toFixed(1)} %`)
  part('track').setAttribute('aria-valuenow', share.toFixed(0))
  part('track').firstElementChild.style.width = `${share}%`
  for (const each of run.estimates) estimate(each, run)
}

const source = new EventSource('events')
source.addEventListener('open', () => {
  for (const parts of cards.values()) parts.points = []
  part('state').classList.remove('away')
})
source.addEventListener('run', event => show(JSON.parse(event.data)))
source.addEventListener('end', event => { show(JSON.parse(event.data)); source.close() })
source.addEventListener('error', () => {
  text('state', 'The run does not answer: it has ended, or its machine is busy.')
  part('state').classList.add('away')
})
