// A TimescaleDB server for tests: PostgreSQL and TimescaleDB compiled to WASM, behind a unix socket that speaks the
// PostgreSQL protocol.
//
//   node wasm_timescale.mjs PACKAGE SOCKET CLUSTER
//
// PACKAGE is the unpacked npm package, SOCKET the path to listen on, CLUSTER a file that holds a ready data directory:
// it is made where it is missing, so that the next start takes a third of the time. "ready" on standard output says
// that clients can come; the end of standard input ends the server, so that it never outlives who started it.
//
// There is one backend for all clients. Each gets it when it is idle, and keeps it until its own transaction is over;
// whoever holds a transaction open holds up all others. What a session has of its own is given to each client: its
// settings are put back when its turn comes, and names of prepared statements are told apart. It acts as the role that it
// logs in as, whatever its password. Temporary tables, advisory locks and notifications are everybody's. There is one
// database too; some statements of its own stand in for others:
//
//   IMAGE KEEP name       what the server holds now, its memory and its files, can be had again by this name
//   IMAGE RESTORE name    every other client is cut off, and all is as it was: in some 30 ms, a database of a test's own
//   CUT OTHERS            every other client is cut off, and what it had open is undone; says how many there were
//   PATIENCE seconds      how long anybody waits for a turn, or a statement takes; 60 and 120 where nothing is said
//
// Nobody waits for ever. Who waits longer than that for a turn is told who has it, since when, and what was said last. A
// statement that takes twice as long ends the server, which says on standard error what it was.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'

const [folder, socketPath, cluster] = process.argv.slice(2)
const { PGlite } = await import(pathToFileURL(`${folder}/dist/index.js`))
const { timescaledb } = await import(pathToFileURL(`${folder}/dist/timescaledb/index.js`))

const UPLOAD = '/tmp/upload'

/** Looks from outside whether the server still moves: while a statement runs, nothing else does in its own thread. */
const WATCH = `
  const { workerData } = require('node:worker_threads')
  const { writeSync } = require('node:fs')
  const numbers = new Int32Array(workerData, 0, 2)
  const said = new Uint8Array(workerData, 8)
  let last = -1
  let still = 0
  setInterval(() => {
    const beat = Atomics.load(numbers, 0)
    still = beat === last ? still + 1 : 0
    last = beat
    if (still <= Atomics.load(numbers, 1)) return
    const text = Buffer.from(said.slice(0, said.indexOf(0))).toString()
    writeSync(2, 'stuck: nothing has moved for ' + still + ' s, in ' + text + '\\n')
    process.kill(process.pid, 'SIGKILL')
  }, 1000)`

const shared = new SharedArrayBuffer(8 + 1024)
const numbers = new Int32Array(shared, 0, 2)
/** Seconds that anybody waits for a turn; a statement may take twice as long. */
let patience = 60
numbers[1] = 2 * patience
doing('the start of the server')
new Worker(WATCH, { eval: true, workerData: shared }).unref()
setInterval(() => Atomics.add(numbers, 0, 1), 250).unref()

/** Notes what is being done, for whoever looks from outside. */
function doing(what) {
  const text = new Uint8Array(shared, 8)
  text.fill(0)
  text.set(Buffer.from(what).subarray(0, text.length - 1))
}

/** Uses what comes in libraries of its own: one that is loaded after an image was kept is not in its memory. */
const LIBRARIES = `
  LOAD 'plpgsql';
  BEGIN;
  CREATE TABLE warm_up (time timestamptz NOT NULL, value int);
  SELECT create_hypertable('warm_up', 'time');
  INSERT INTO warm_up VALUES ('2000-01-01Z', 1);
  ALTER TABLE warm_up SET (timescaledb.compress);
  SELECT compress_chunk(show_chunks('warm_up'));
  ROLLBACK;`

const database = await booted()
const filesystem = database.Module.FS
/** Images of the server, by name. */
const images = new Map()
const connected = new Set()
/** The client whose settings the backend has now. */
let current = null
/** The client whose turn it is, if it is anybody's. */
let holder = null
/** The end of the line of those who wait for the backend. */
let line = Promise.resolve()
let clients = 0

/** Makes the file of a ready data directory. What made it does not serve: to it, only postgres may read the catalog. */
async function makeCluster() {
  const made = await started()
  await made.exec('CREATE EXTENSION timescaledb')
  const image = await made.dumpDataDir('none')
  await made.close()
  // under a name of its own first: two test processes may do so at once
  const temporary = `${cluster}.${process.pid}`
  writeFileSync(temporary, Buffer.from(await image.arrayBuffer()))
  renameSync(temporary, cluster)
}

async function booted() {
  if (!existsSync(cluster)) await makeCluster()
  const made = await started(new Blob([readFileSync(cluster)]))
  await made.exec(LIBRARIES)
  return made
}

async function started(loadDataDir) {
  const made = new PGlite({ extensions: { timescaledb }, loadDataDir })
  await made.waitReady
  // Before anything else: a backend that loads the extension later counts compressed rows wrongly, and says nothing.
  await made.exec("LOAD 'timescaledb'")
  return made
}

/** A file or folder and all below it, as it is now. */
function kept(node) {
  const one = { node, mode: node.mode, name: node.name, parent: node.parent }
  if (filesystem.isDir(node.mode) && !node.mounted && node.contents) one.entries = Object.values(node.contents).map(kept)
  if (filesystem.isFile(node.mode)) one.bytes = Uint8Array.from(node.contents ?? []).slice(0, node.usedBytes)
  return one
}

function putBack({ node, entries, bytes, ...rest }) {
  Object.assign(node, rest)
  if (entries) node.contents = Object.fromEntries(entries.map((entry) => [entry.name, entry.node]))
  entries?.forEach(putBack)
  if (bytes) {
    if (node.contents?.length >= bytes.length) node.contents.set(bytes)
    else node.contents = bytes.slice()
    node.usedBytes = bytes.length
  }
}

function keepImage(name) {
  const chains = filesystem.nameTable.map((head) => {
    const chain = []
    for (let node = head; node; node = node.name_next) chain.push(node)
    return chain
  })
  const streams = filesystem.streams.map(
    (stream) => stream && { stream, flags: stream.flags, position: stream.position, node: stream.node },
  )
  const memory = database.Module.HEAPU8.slice()
  images.set(name, { memory, root: kept(filesystem.root), chains, streams, nextInode: filesystem.nextInode })
}

function restoreImage(name) {
  const image = images.get(name)
  database.Module.HEAPU8.set(image.memory)
  database.Module.HEAPU8.fill(0, image.memory.length)
  putBack(image.root)
  filesystem.streams.length = image.streams.length
  image.streams.forEach((one, fd) => {
    if (one) Object.assign(one.stream, { fd, flags: one.flags, position: one.position, node: one.node })
    filesystem.streams[fd] = one?.stream ?? null
  })
  image.chains.forEach((chain, place) => {
    filesystem.nameTable[place] = chain[0]
    chain.forEach((node, at) => (node.name_next = chain[at + 1]))
  })
  filesystem.nextInode = image.nextInode
}

/** A message of the protocol: its type, and its length before its content. */
function message(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)))
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

function int32(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** The messages of a backend's answer: [type, content]. */
function* messagesOf(answer) {
  for (let at = 0; at < answer.length; ) {
    const length = answer.readInt32BE(at + 1)
    yield [String.fromCharCode(answer[at]), answer.subarray(at + 5, at + 1 + length)]
    at += 1 + length
  }
}

async function raw(bytes) {
  return Buffer.from(await database.execProtocolRaw(bytes, { syncToFs: false }))
}

/** Rows of one simple query, as text; null where it failed. */
async function asked(sql) {
  const rows = []
  for (const [type, body] of messagesOf(await raw(message('Q', sql)))) {
    if (type === 'E') return null
    if (type !== 'D') continue
    const row = []
    for (let at = 2, left = body.readInt16BE(0); left > 0; left -= 1) {
      const length = body.readInt32BE(at)
      row.push(length < 0 ? null : body.toString('utf8', at + 4, at + 4 + length))
      at += 4 + Math.max(length, 0)
    }
    rows.push(row)
  }
  return rows
}

function failure(severity, code, text) {
  return message('E', `S${severity}`, `V${severity}`, `C${code}`, `M${text}`, Buffer.from([0]))
}

/** A statement that fails, so that the server says it, and a transaction is aborted. */
function raising(text, code = '57014') {
  return `DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '${code}', MESSAGE = ${quoted(text)}; END$$`
}

const quoted = (text) => `'${text.replaceAll("'", "''")}'`

/** Says how the transaction stands after an answer: I, T or E; null where it does not say. */
function standing(answer) {
  let status = null
  for (const [type, body] of messagesOf(answer)) if (type === 'Z') status = String.fromCharCode(body[0])
  return status
}

class Client {
  constructor(socket) {
    this.socket = socket
    this.id = (clients += 1)
    this.received = Buffer.alloc(0)
    this.started = false
    this.batch = []
    this.copying = null // a COPY that is being sent: its statement, and the pieces of its rows
    // what the session was set to when another client's turn came
    this.settings = [['search_path', '"$user", public']]
    this.role = 'none'
    this.statements = new Set()
    this.release = null // gives the backend to the next in line
    this.waiting = false // for its turn
    this.cancelled = false // while it was
    this.synchronized = true // with the end of what it said last
    this.skipping = false // what comes until it is
    this.gone = false // nothing more is done for it
    this.wiped = false // nor is anything of it left
    this.name = ''
    this.user = 'postgres'
    this.said = 'nothing'
    this.since = this.saidAt = Date.now()
    this.work = Promise.resolve()
    connected.add(this)
    socket.on('data', (bytes) => {
      this.received = Buffer.concat([this.received, bytes])
      this.work = this.work.then(() => this.read()).catch((error) => this.fail(error))
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.work = this.work.then(() => this.leave()).catch((error) => this.fail(error))
    })
  }

  /** What fails here is the WASM itself, and nothing that it says after that is worth hearing: all clients are told so
   * by the end of the server, not kept waiting. */
  fail(error) {
    // of the trace, what is not the package's one long line
    console.error(String(error?.stack ?? error).split('\n').filter((line) => line.length < 300).join('\n'))
    process.exit(70)
  }

  /** Takes every whole message that has come. */
  async read() {
    while (true) {
      const head = this.started ? 1 : 0
      if (this.received.length < head + 4) return
      const length = head + this.received.readInt32BE(head)
      if (this.received.length < length) return
      const whole = this.received.subarray(0, length)
      this.received = this.received.subarray(length)
      if (this.started) await this.take(String.fromCharCode(whole[0]), whole.subarray(5), whole)
      else await this.start(whole.subarray(4))
    }
  }

  async start(body) {
    const code = body.readInt32BE(0)
    if (code === 80877103 || code === 80877104) return void this.socket.write('N') // neither TLS nor GSS
    if (code === 80877102) {
      for (const other of connected) if (other.started && other.id === body.readInt32BE(4)) other.cancel()
      return void this.socket.end()
    }
    if (code !== 196608) return void this.socket.end() // of no version that is known
    const given = body.toString('utf8', 4).split('\0')
    for (let at = 0; at + 1 < given.length && given[at]; at += 2) {
      if (given[at] === 'options') {
        for (const [, name, value] of given[at + 1].matchAll(/(?:-c\s*|--)([\w.]+)=((?:\\.|\S)*)/g))
          this.settings.push([name, value.replace(/\\(.)/g, '$1')])
      } else if (!['user', 'database', 'replication'].includes(given[at])) {
        this.settings.push([given[at], given[at + 1]])
      }
    }
    const named = (name) => given[given.indexOf(name) + 1]
    if (given.includes('user')) this.user = named('user')
    this.name = given.includes('application_name') ? named('application_name') : ''
    this.started = true
    const facts = { server_version: '17.5', server_encoding: 'UTF8', client_encoding: 'UTF8', DateStyle: 'ISO, MDY' }
    Object.assign(facts, { integer_datetimes: 'on', standard_conforming_strings: 'on', TimeZone: 'UTC' })
    this.socket.write(
      Buffer.concat([
        message('R', int32(0)),
        ...Object.entries(facts).map(([name, value]) => message('S', name, value)),
        message('K', int32(this.id), int32(0)),
        message('Z', Buffer.from('I')),
      ]),
    )
  }

  /** What waits for its turn or for rows is ended at once; what runs has ended by the time that anybody can ask. */
  cancel() {
    if (this.waiting) {
      this.cancelled = true
      this.socket.write(failure('ERROR', '57014', 'canceling statement due to user request'))
      // a message that only flushed is followed by others, up to the one that synchronizes
      if (this.synchronized) this.socket.write(message('Z', Buffer.from('I')))
      else this.skipping = true
    } else this.work = this.work.then(() => this.cancelCopy()).catch((error) => this.fail(error))
  }

  async cancelCopy() {
    if (!this.copying) return
    this.copying = null
    await this.run(message('Q', raising('canceling statement due to user request')))
  }

  async take(type, body, whole) {
    if (this.gone) return
    if (this.skipping && type !== 'X') {
      if (type !== 'S') return
      this.skipping = false
      return void this.socket.write(message('Z', Buffer.from('I')))
    }
    if (type === 'X') return void this.socket.end() // in the middle of a COPY too, of which nothing comes then
    if (this.copying) return this.takeCopied(type, body)
    if (type === 'P') this.says(body.toString('utf8', body.indexOf(0) + 1, body.indexOf(0, body.indexOf(0) + 1)))
    if (type === 'Q') {
      const sql = body.toString('utf8', 0, body.length - 1)
      this.says(sql)
      const [, action, image] = /^IMAGE (KEEP|RESTORE) (\w+)$/.exec(sql) ?? []
      if (image) return this.takeImage(action, image)
      if (sql === 'CUT OTHERS') return this.takeCut()
      const [, seconds] = /^PATIENCE ([\d.]+)$/.exec(sql) ?? []
      if (seconds) return this.takePatience(Number(seconds))
      if (sql === 'DEALLOCATE ALL') whole = message('Q', this.deallocating())
      const upload = /^\s*COPY\b[^]*?\bFROM\s+STDIN\b/i.test(sql)
      if (upload) {
        this.copying = { sql, pieces: [] }
        const binary = /\bBINARY\b/i.test(sql) ? 1 : 0
        // the number of columns is nothing that clients go by
        return void this.socket.write(message('G', Buffer.from([binary, 0, 0])))
      }
    }
    if ('dcf'.includes(type)) return // what was on its way while a COPY was cancelled
    this.synchronized = type !== 'H'
    this.batch.push(this.named(type, body, whole))
    if ('QSHF'.includes(type)) {
      const batch = Buffer.concat(this.batch)
      this.batch = []
      await this.run(batch)
    }
  }

  says(sql) {
    this.said = sql.replace(/\s+/g, ' ').trim().slice(0, 300)
    this.saidAt = Date.now()
  }

  /** Cuts off everybody else; returns how many had begun a session. */
  cutOthers(wiped) {
    const others = [...connected].filter((other) => other !== this)
    for (const other of others) {
      other.gone = true
      other.wiped ||= wiped
      other.socket.destroy()
    }
    return others.filter((other) => other.started).length
  }

  async takeImage(action, name) {
    if (action === 'RESTORE') this.cutOthers(true)
    if (!(await this.acquire())) return
    if (action === 'KEEP') keepImage(name)
    else {
      restoreImage(name)
      current = null // the session is again that of the image
    }
    this.yield()
    this.done(`IMAGE ${action}`)
  }

  async takeCut() {
    const count = this.cutOthers(false)
    if (!(await this.acquire())) return
    this.yield()
    this.done(`SELECT ${count}`)
  }

  takePatience(seconds) {
    patience = seconds
    Atomics.store(numbers, 1, Math.ceil(2 * patience))
    this.done('PATIENCE')
  }

  done(tag) {
    this.socket.write(Buffer.concat([message('C', tag), message('Z', Buffer.from('I'))]))
  }

  /** A message in which the name of a prepared statement is this client's own. */
  named(type, body, whole) {
    const zero = body.indexOf(0)
    if (type === 'P' && zero > 0) {
      const name = this.own(body.toString('utf8', 0, zero))
      return message(type, name, body.subarray(zero + 1))
    }
    if (type === 'B') {
      const end = body.indexOf(0, zero + 1)
      if (end > zero + 1) {
        const name = this.own(body.toString('utf8', zero + 1, end))
        return message(type, body.subarray(0, zero + 1), name, body.subarray(end + 1))
      }
    }
    if ((type === 'D' || type === 'C') && body[0] === 'S'.charCodeAt(0) && body.length > 2)
      return message(type, Buffer.from('S'), this.own(body.toString('utf8', 1, body.length - 1)))
    return whole
  }

  /** What forgets this client's prepared statements, and nobody else's. */
  deallocating() {
    const own = `SELECT name FROM pg_prepared_statements WHERE name ~ '^client${this.id}(?![0-9])'`
    return `DO $$DECLARE own text; BEGIN FOR own IN ${own} LOOP EXECUTE format('DEALLOCATE %I', own); END LOOP; END$$`
  }

  own(name) {
    const own = `client${this.id}${name}`
    this.statements.add(own)
    return own
  }

  /** Rows of a COPY are collected, and read by the server from a file: from a client, it crashes. */
  async takeCopied(type, body) {
    if (type === 'd') return void this.copying.pieces.push(Buffer.from(body))
    if (type === 'H' || type === 'S') return
    if (type !== 'c' && type !== 'f') throw new Error(`a message ${type} in the middle of a COPY`)
    const { sql, pieces } = this.copying
    this.copying = null
    if (type === 'f') {
      const reason = body.toString('utf8', 0, body.length - 1)
      return this.run(message('Q', raising(`COPY from stdin failed: ${reason}`)))
    }
    if (!this.release && !(await this.acquire())) return // before that, another's rows may be in the file
    filesystem.writeFile(UPLOAD, Buffer.concat(pieces))
    const copy = message('Q', sql.replace(/\bFROM\s+STDIN\b/i, `FROM '${UPLOAD}'`))
    if (this.user === 'postgres') return this.run(copy)
    // only a superuser reads files into a hypertable: what this one may is asked first
    const [, table] = /^\s*COPY\s+([^\s(]+)/i.exec(sql)
    const [[may]] = (await asked(`SELECT has_table_privilege(${quoted(table)}, 'INSERT')`)) ?? [['t']]
    if (may !== 't') return this.run(message('Q', raising(`permission denied for table ${table}`, '42501')))
    await asked('SET SESSION AUTHORIZATION postgres')
    doing(`${this}`)
    const answer = await raw(copy)
    // an aborted transaction puts it back itself
    if (standing(answer) !== 'E') await asked(`SET SESSION AUTHORIZATION "${this.user}"`)
    this.answer(answer)
  }

  async run(batch) {
    if (!this.release && !(await this.acquire())) return
    doing(`${this}`)
    this.answer(await raw(batch))
  }

  /** Its turn is over with its transaction. */
  answer(bytes) {
    this.socket.write(bytes)
    if (standing(bytes) === 'I') this.yield()
  }

  /** Gets the backend, as this client's. False where it has gone by then, or has waited for too long, which it is told. */
  async acquire() {
    const late = setTimeout(() => this.giveUp(), 1000 * patience)
    this.waiting = true
    await this.turn()
    this.waiting = false
    clearTimeout(late)
    if (!this.gone && !this.cancelled) await this.become()
    const has = !this.gone && !this.cancelled
    if (!has) this.yield()
    this.cancelled = false
    return has
  }

  /** Waits for this client's turn, for as long as it takes: others may give up, and then it comes. */
  async turn() {
    const before = line
    line = new Promise((resolve) => (this.release = resolve))
    await before
    holder = this
    this.since = Date.now()
  }

  giveUp() {
    const ago = (since) => `${Math.round((Date.now() - since) / 1000)} s`
    const who = holder && `${holder} has had it for ${ago(holder.since)}, and said that ${ago(holder.saidAt)} ago`
    this.refuse(`${this} waited ${patience} s for the one backend: ${who ?? 'nobody has it'}`)
  }

  /** Ends the session with a reason. */
  refuse(reason) {
    this.gone = true
    this.socket.end(failure('FATAL', 'XX000', reason))
  }

  toString() {
    return `client ${this.id} (${this.name || this.user}: ${this.said})`
  }

  /** Makes the backend's session this client's. */
  async become() {
    if (current === this) return
    doing(`the settings of ${this}`)
    if (current) {
      const changed = "SELECT name, setting FROM pg_settings WHERE source = 'session' AND context IN ('user', 'superuser')"
      current.settings = await asked(changed)
      current.role = (await asked("SELECT current_setting('role')"))[0][0]
    }
    await asked('SET SESSION AUTHORIZATION postgres') // RESET does not
    await asked('RESET ROLE')
    await asked('RESET ALL')
    if (this.user !== 'postgres' && !(await asked(`SET SESSION AUTHORIZATION "${this.user}"`)))
      this.refuse(`role "${this.user}" does not exist`)
    for (const [name, value] of this.settings) await asked(`SELECT set_config(${quoted(name)}, ${quoted(value)}, false)`)
    if (this.role !== 'none') await asked(`SET ROLE "${this.role}"`)
    current = this
  }

  yield() {
    const release = this.release
    this.release = null
    holder = null
    release()
  }

  /** As a server ends a session: what it had open is undone. */
  async leave() {
    connected.delete(this)
    if (this.wiped && !this.release) return // all of it went with the database that was
    if (!this.release) await this.turn()
    doing(`the end of ${this}`)
    await asked('ROLLBACK')
    for (const name of this.statements) await asked(`DEALLOCATE "${name}"`)
    await asked('SELECT pg_advisory_unlock_all()')
    this.yield()
  }
}

createServer((socket) => new Client(socket)).listen(socketPath, () => {
  console.log('ready')
  // nobody reads what else is said there: a pipe that is full would hold up everything
  console.log = console.info = console.debug = console.error
})
process.stdin.on('end', () => process.exit(0)).resume()
