'use strict'

// Everything that comes from the gateway is set as text, never as markup.
const STORED = 'imgrid-operator-key'
const POLL_MS = 5000
const PATIENCE_MS = 30000
const byId = id => document.getElementById(id)
const SVG = 'http://www.w3.org/2000/svg'

const money = amount => amount.toLocaleString('en', { minimumFractionDigits: 2, maximumFractionDigits: amount && Math.abs(amount) < 1 ? 4 : 2 })
const usd = amount => money(amount) + '\u00a0USD'
const count = number => number.toLocaleString('en', { maximumFractionDigits: number < 1000 ? 1 : 0 })
const percent = share => (100 * share).toLocaleString('en', { maximumFractionDigits: 1 }) + '\u00a0%'

// Of a time in Unix seconds, by hyphens at which no line breaks.
const day = at => new Date(1000 * at).toISOString().slice(0, 10).replaceAll('-', '\u2011')
const clock = (at, end) => new Date(1000 * at).toISOString().slice(11, end)

function seconds(value) {
  if (value < 1) return `${Math.round(1000 * value)}\u00a0ms`
  if (value < 120) return `${value.toFixed(1)}\u00a0s`
  return value < 7200 ? `${Math.round(value / 60)}\u00a0min` : `${Math.round(value / 3600)}\u00a0h`
}

function element(name, text, className) {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (className) made.className = className
  return made
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  return made
}

// Rows of cells under headings; a cell is a text, or an element.
function show(id, headings, rows, whenEmpty) {
  if (!rows.length) {
    byId(id).replaceChildren(element('p', whenEmpty, 'empty'))
    return
  }
  const table = element('table')
  const head = table.createTHead().insertRow()
  for (const heading of headings) {
    const cell = element('th', heading)
    cell.scope = 'col'
    head.append(cell)
  }
  const body = table.createTBody()
  for (const row of rows) {
    const line = body.insertRow()
    row.forEach((value, index) => {
      const cell = line.insertCell()
      cell.dataset.heading = headings[index]  // which a narrow window shows beside the cell
      cell.append(value)
    })
  }
  byId(id).replaceChildren(table)
}

// What was paid instead of what, and how well grids agree: what there is to know in ten seconds.
function headline({ money: { month }, routes }) {
  if (!month.answered) return 'No photos yet this month.'
  const paid = month.alone_usd
    ? `This month ${usd(month.paid_usd)} instead of ${usd(month.alone_usd)}`
    : `This month ${count(month.answered)} photos, and nothing to pay`
  const agreements = routes.filter(route => route.agreement)
  if (!agreements.length) return `${paid}.`
  const least = Math.min(...agreements.map(route => route.agreement.mean))
  // rounded up: the sentence must not say more than was measured
  const within = Math.ceil(1000 * (1 - least) - 1e-9) / 1000
  return `${paid}; answers within ${percent(within)} of asking about each photo alone.`
}

function more({ money: { month, last_month: last, forecast } }) {
  const parts = []
  if (month.alone_usd) parts.push(`${percent(month.saved_usd / month.alone_usd)} saved on ${count(month.answered)} photos.`)
  if (forecast) parts.push(`At the month's end ${usd(forecast.expected_usd)} are foreseen (four times in five ${usd(forecast.low_usd)} to ${usd(forecast.high_usd)}).`)
  if (last.answered) parts.push(`Last month: ${usd(last.paid_usd)} instead of ${usd(last.alone_usd)}.`)
  if (month.maybe_billed_images) parts.push(`${count(month.maybe_billed_images)} images may have been billed besides.`)
  return parts.join(' ')
}

function drawDays(days) {
  const most = Math.max(...days.map(day => Math.max(day.paid_usd, day.alone_usd)), 0)
  if (!most) {
    byId('days').replaceChildren(element('p', 'Nothing was paid in the last month.', 'empty'))
    return
  }
  const drawing = shape('svg', { viewBox: `0 0 ${10 * days.length} 100`, preserveAspectRatio: 'none', role: 'img', 'aria-label': 'What was paid on each of the last days, and what it would have cost alone' })
  days.forEach((day, index) => {
    const group = shape('g', {})
    const title = shape('title', {})
    title.textContent = `${day.day}: ${usd(day.paid_usd)} instead of ${usd(day.alone_usd)}`
    group.append(title)
    for (const [kind, amount] of [['alone', day.alone_usd], ['paid', day.paid_usd]]) {
      const height = 100 * amount / most
      group.append(shape('rect', { class: kind, x: 10 * index + 1, width: 8, y: 100 - height, height }))
    }
    drawing.append(group)
  })
  const axis = element('div', undefined, 'axis')
  for (const text of [days[0].day, `at most ${usd(most)} a day`, days.at(-1).day]) axis.append(element('span', text))
  byId('days').replaceChildren(drawing, axis)
}

function sums(records, name) {
  return records.map(each => [each[name] || '(none)', money(each.paid_usd), money(each.alone_usd), each.alone_usd ? percent(each.saved_usd / each.alone_usd) : '–', count(each.answered), count(each.billed_images)])
}

function drawBudgets(budgets) {
  if (!budgets.length) {
    byId('budgets').replaceChildren(element('p', 'There are none. tenants[].budgets sets them.', 'soft'))
    return
  }
  const list = element('div', undefined, 'budgets')
  for (const budget of budgets) {
    const share = budget.spent / budget.limit
    const card = element('div', undefined, `card budget ${share >= 1 ? 'spent' : share >= 0.8 ? 'near' : ''}`)
    card.append(element('p', `${budget.tenant}: ${budget.title}`, 'name'))
    const track = element('div', undefined, 'track')
    const bar = shape('svg', { viewBox: '0 0 100 1', preserveAspectRatio: 'none', 'aria-hidden': 'true' })
    bar.append(shape('rect', { width: Math.min(100 * share, 100), height: 1 }))
    track.append(bar)
    const held = budget.held ? `, ${count(budget.held)} held for calls under way` : ''
    card.append(track, element('p', `${count(budget.spent)} of ${count(budget.limit)} spent (${percent(share)})${held}; ${budget.mode}; begins anew on ${day(budget.resets_at)}`, 'soft'))
    list.append(card)
  }
  byId('budgets').replaceChildren(list)
}

const levelName = route => route.level === 'exact' ? 'each photo alone' : route.level
const between = ({ mean, low, high }) => `${percent(mean)} (${percent(low)} to ${percent(high)})`

// Why routes are tightened: the agreement for which the level last changed.
function tightened(routes) {
  return routes.filter(route => route.level !== 'target').map(route => {
    const since = `${route.name} is tightened to ${levelName(route)} since ${day(route.since)}, ${clock(route.since, 16)} UTC`
    if (!route.cause || route.promised === null) return `${since}.`
    const change = route.cause.mean < route.promised ? 'had fallen below' : 'rose again above'
    return `${since}: its agreement ${change} the promised ${percent(route.promised)}. On ${count(route.cause.photos)} photos it was ${between(route.cause)}.`
  })
}

function routeRows(routes) {
  return routes.map(route => {
    const agreement = route.agreement
    const isTarget = route.level === 'target'
    const level = element('span', isTarget ? 'as planned' : `tightened: ${levelName(route)}`, isTarget ? 'good' : 'warn')
    const promised = route.promised
    return [
      route.name,
      route.stages.map(stage => stage.shape).join(' → '),
      agreement ? between(agreement) : 'nothing compared yet',
      agreement ? count(agreement.photos) : '0',
      promised === null ? '–' : percent(promised),
      level,
    ]
  })
}

function showReplica({ replica: { waits, answers, fills, refused, failed }, replicas }) {
  byId('replica-scope').textContent = replicas === 1
    ? 'Counted by this process since it started; not kept when it stops.'
    : `Counted by one of ${replicas} replicas, the one that answered this page; for all of them read the metrics.`
  const durations = [['wait', waits], ['answer', answers]].filter(([, each]) => each)
  show('durations', ['time', 'half within', '99 % within', 'counted'], durations.map(([name, each]) => [name, seconds(each.p50), seconds(each.p99), count(each.count)]), 'No photo yet.')
  show('fills', ['provider', 'task', 'filled'], fills.map(each => [each.provider, each.task, percent(each.share)]), 'No canvas yet.')
  const errors = [['refused at once', refused], ['failed later', failed]].flatMap(([when, counts]) => Object.entries(counts).map(([code, number]) => [code, when, count(number)]))
  show('errors', ['error', 'when', 'times'], errors, 'Nothing was refused, and no photo failed.')
}

// What was given up, and the command that shows it.
function givenUp({ dead_letters: photos, dead_deliveries: webhooks }) {
  const parts = []
  if (photos) parts.push(`${count(photos)} ${photos === 1 ? 'photo was' : 'photos were'} given up because processes died: see imgrid buffer.`)
  if (webhooks) parts.push(`${webhooks >= 100 ? '100 or more' : count(webhooks)} ${webhooks === 1 ? 'webhook was' : 'webhooks were'} given up: see imgrid webhooks list.`)
  return parts
}

const items = texts => texts.map(text => element('li', text))

function showAll(content) {
  byId('headline').textContent = headline(content)
  byId('more').textContent = more(content)
  const notices = Object.entries(content.notices).map(([name, text]) => `${name}: ${text}`)
  byId('notices').replaceChildren(...items([...notices, ...givenUp(content)]))
  byId('tightened').replaceChildren(...items(tightened(content.routes)))
  drawDays(content.money.days)
  const figures = ['paid, USD', 'alone', 'saved', 'photos', 'images']
  show('tenants', ['tenant', ...figures], sums(content.money.tenants, 'tenant'), 'No photos yet this month.')
  show('tasks', ['task', ...figures], sums(content.money.tasks, 'task'), 'No photos yet this month.')
  drawBudgets(content.budgets)
  show('routes', ['route', 'shapes', 'agreement', 'compared', 'promised', 'level'], routeRows(content.routes), 'There are no routes.')
  byId('waiting').textContent = `${count(content.photos)} ${content.photos === 1 ? 'photo waits or is' : 'photos wait or are'} asked about, at ${content.replicas} ${content.replicas === 1 ? 'replica' : 'replicas'}.`
  show('lanes', ['task', 'provider', 'shape', 'photos', 'oldest'], content.lanes.map(lane => [lane.task, lane.provider, lane.shape, count(lane.photos), seconds(lane.oldest_s)]), 'No photo waits for company.')
  show('providers', ['provider', 'kind', 'typical answer', 'free calls', 'state'], content.providers.map(each => [each.name, each.kind, seconds(each.typical_s), count(each.free_slots), element('span', each.problem || 'ready', each.problem ? 'bad' : 'good')]), 'There are no providers.')
  showReplica(content)
  byId('state').textContent = `as of ${day(content.at)}, ${clock(content.at, 19)} UTC`
}

function askForKey(text) {
  byId('content').hidden = true
  byId('login').hidden = false
  byId('refusal').textContent = text
  byId('state').textContent = ''
  byId('key').focus()
}

let timer = 0
let reading = null

// The reply's content; null where the key is refused.
async function fetchContent(key, signal) {
  const reply = await fetch('/v1/dashboard', { headers: key ? { 'X-Api-Key': key } : {}, cache: 'no-store', signal })
  const content = await reply.json().catch(() => null)
  signal.throwIfAborted()
  if (reply.status === 401) {
    sessionStorage.removeItem(STORED)
    askForKey(key ? content?.error?.message ?? 'This key is refused.' : '')
    return null
  }
  if (!reply.ok || !content) throw new Error(content?.error?.message ?? `the gateway answered ${reply.status}`)
  return content
}

// Reads and shows; an earlier reading that is still under way shows nothing any more.
async function read() {
  stop()
  const key = sessionStorage.getItem(STORED), current = reading = new AbortController()
  const signal = AbortSignal.any([current.signal, AbortSignal.timeout(PATIENCE_MS)])
  try {
    const content = await fetchContent(key, signal)
    if (!content || current.signal.aborted) return
    showAll(content)
    byId('login').hidden = true
    byId('content').hidden = false
    byId('leave').hidden = !key
  } catch (error) {
    if (current.signal.aborted) return
    byId('state').textContent = `not current: ${error.message}`
  }
  timer = setTimeout(read, POLL_MS)
}

function stop() {
  clearTimeout(timer)
  reading?.abort()
}

byId('login').addEventListener('submit', event => {
  event.preventDefault()
  sessionStorage.setItem(STORED, byId('key').value.trim())
  byId('key').value = ''
  read()
})
byId('refresh').addEventListener('click', read)
byId('leave').addEventListener('click', () => {
  sessionStorage.removeItem(STORED)
  stop()
  askForKey('')
})
// a page that nobody sees asks nothing
document.addEventListener('visibilitychange', () => document.hidden ? stop() : byId('login').hidden && read())
read()
