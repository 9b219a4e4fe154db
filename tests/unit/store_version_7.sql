BEGIN TRANSACTION;
CREATE TABLE events (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	sandbox_id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	event VARCHAR NOT NULL, 
	facts JSON NOT NULL
);
INSERT INTO "events" VALUES(1,'live1','alice',1.79581772533335280415e+09,'created','{}');
INSERT INTO "events" VALUES(2,'ended1','bob',1.79581772535194754596e+09,'created','{}');
INSERT INTO "events" VALUES(3,'ended1','bob',1.79581772544408774378e+09,'ended','{"reason":"deleted"}');
INSERT INTO "events" VALUES(4,'live1','alice',1.79581772546378803248e+09,'updated','{"changed":["labels"],"labels_changed":["team"],"labels":{"team":"green"}}');
CREATE TABLE history (
	sandbox_id VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	command JSON NOT NULL, 
	owner VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (sandbox_id, "key"), 
	FOREIGN KEY(sandbox_id) REFERENCES sandboxes (sandbox_id) ON DELETE CASCADE
);
INSERT INTO "history" VALUES('live1','k',1700000000.0,'{"command":"ls","output":"é中"}','alice');
INSERT INTO "history" VALUES('ended1','a',5.0,'{"command":"make"}','bob');
INSERT INTO "history" VALUES('ended1','b',6.0,'{"command":"test"}','bob');
CREATE TABLE idempotency (
	owner VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	sandbox_id VARCHAR NOT NULL, 
	PRIMARY KEY (owner, "key"), 
	FOREIGN KEY(sandbox_id) REFERENCES sandboxes (sandbox_id) ON DELETE CASCADE
);
INSERT INTO "idempotency" VALUES('alice','k1','print-k1','live1');
INSERT INTO "idempotency" VALUES('bob','k2','print-k2','ended1');
CREATE TABLE kept (
	owner VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	bytes INTEGER NOT NULL, 
	PRIMARY KEY (owner, kind)
);
INSERT INTO "kept" VALUES('alice','ended',92);
INSERT INTO "kept" VALUES('alice','events',250);
INSERT INTO "kept" VALUES('bob','ended',697);
INSERT INTO "kept" VALUES('bob','events',190);
INSERT INTO "kept" VALUES('alice','once',320);
INSERT INTO "kept" VALUES('alice','history',115);
INSERT INTO "kept" VALUES('bob','history',196);
CREATE TABLE leases (
	lease_id VARCHAR NOT NULL, 
	sandbox_id VARCHAR NOT NULL, 
	worker_id VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	taken_at FLOAT NOT NULL, 
	PRIMARY KEY (lease_id), 
	FOREIGN KEY(sandbox_id) REFERENCES sandboxes (sandbox_id) ON DELETE CASCADE
);
INSERT INTO "leases" VALUES('lease1','live1','w1','client',13081.311262564);
CREATE TABLE once (
	sandbox_id VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	daemon VARCHAR NOT NULL, 
	owner VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (sandbox_id, request_id), 
	FOREIGN KEY(sandbox_id) REFERENCES sandboxes (sandbox_id) ON DELETE CASCADE
);
INSERT INTO "once" VALUES('live1','sha256:06331deab75c7b95584d207a3bab5a55bb31706ea335e18dc8a2986abb2e9d56','agent-1','alice');
INSERT INTO "once" VALUES('live1','r2','agent-2','alice');
CREATE TABLE sandboxes (
	sandbox_id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	container_id VARCHAR, 
	worker_id VARCHAR, 
	created_at FLOAT NOT NULL, 
	born FLOAT NOT NULL, 
	boot_id VARCHAR NOT NULL, 
	ip_address VARCHAR, 
	pid INTEGER, 
	uid INTEGER DEFAULT '1000' NOT NULL, 
	image VARCHAR NOT NULL, 
	isolation VARCHAR NOT NULL, 
	network VARCHAR NOT NULL, 
	cpus FLOAT NOT NULL, 
	memory_mb INTEGER NOT NULL, 
	pids INTEGER NOT NULL, 
	disk_mb INTEGER, 
	pool_key VARCHAR, 
	token_generation VARCHAR, 
	labels JSON NOT NULL, 
	timeout_s FLOAT, 
	expires FLOAT, 
	idle_timeout_s FLOAT NOT NULL, 
	idle_action VARCHAR NOT NULL, 
	idle_since FLOAT NOT NULL, 
	warned_of FLOAT, 
	end_reason VARCHAR, 
	end_detail VARCHAR, 
	exit_code INTEGER, 
	ended_at FLOAT, 
	PRIMARY KEY (sandbox_id)
);
INSERT INTO "sandboxes" VALUES('live1','ready','alice','c-live1',NULL,1.0,10.0,'boot','10.0.0.2',42,70001,'image','standard','bridge',1.0,64,64,NULL,NULL,'12e4','{"team":"green"}',600.0,611.0,3600.0,'delete',10.0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "sandboxes" VALUES('ended1','ended','bob','c-ended1',NULL,1.0,10.0,'boot','10.0.0.2',42,70001,'image','standard','bridge',1.0,100,64,NULL,NULL,NULL,'{}',NULL,NULL,3600.0,'delete',10.0,NULL,'deleted','by hand',3,1700000001.0);
INSERT INTO "sandboxes" VALUES('pool1','pooling','',NULL,'maker',1.0,10.0,'boot',NULL,NULL,1000,'image','standard','bridge',1.0,100,64,NULL,'pk',NULL,'{}',NULL,NULL,3600.0,'delete',10.0,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE tickets (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	owner VARCHAR NOT NULL, 
	worker_id VARCHAR NOT NULL, 
	turn INTEGER NOT NULL, 
	valid_until FLOAT NOT NULL, 
	memory_mb INTEGER DEFAULT '0' NOT NULL, 
	share_sandboxes INTEGER, 
	share_memory_mb INTEGER, 
	ages_from FLOAT, 
	wait_s FLOAT DEFAULT '0' NOT NULL
);
INSERT INTO "tickets" VALUES(1,'carol','w1',1,1000000000.0,128,NULL,NULL,5.0,30.0);
CREATE INDEX sandboxes_by_state ON sandboxes (state);
CREATE INDEX sandboxes_by_end ON sandboxes (ended_at);
CREATE INDEX sandboxes_by_container ON sandboxes (container_id);
CREATE INDEX sandboxes_by_owner ON sandboxes (owner, ended_at);
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_owner ON events (owner, number);
CREATE INDEX events_by_sandbox ON events (sandbox_id, number);
CREATE INDEX leases_by_sandbox ON leases (sandbox_id);
CREATE INDEX leases_by_worker ON leases (worker_id);
CREATE INDEX once_by_owner ON once (owner);
CREATE INDEX idempotency_by_sandbox ON idempotency (sandbox_id);
CREATE INDEX history_by_owner ON history (owner);
CREATE TRIGGER idempotency_added AFTER INSERT ON idempotency BEGIN INSERT INTO kept (owner, kind, bytes) VALUES (NEW.owner, 'ended', 2 * length(NEW.key) + length(NEW.fingerprint) + 2 * length(NEW.owner) + 2 * length(NEW.sandbox_id) + 60) ON CONFLICT (owner, kind) DO UPDATE SET bytes = bytes + excluded.bytes; END;
CREATE TRIGGER idempotency_gone AFTER DELETE ON idempotency BEGIN UPDATE kept SET bytes = bytes - (2 * length(OLD.key) + length(OLD.fingerprint) + 2 * length(OLD.owner) + 2 * length(OLD.sandbox_id) + 60) WHERE owner = OLD.owner AND kind = 'ended'; END;
CREATE TRIGGER events_added AFTER INSERT ON events BEGIN INSERT INTO kept (owner, kind, bytes) VALUES (NEW.owner, 'events', length(CAST(NEW.facts AS BLOB)) + length(NEW.event) + 2 * (length(NEW.owner) + length(NEW.sandbox_id)) + 60) ON CONFLICT (owner, kind) DO UPDATE SET bytes = bytes + excluded.bytes; END;
CREATE TRIGGER events_gone AFTER DELETE ON events BEGIN UPDATE kept SET bytes = bytes - (length(CAST(OLD.facts AS BLOB)) + length(OLD.event) + 2 * (length(OLD.owner) + length(OLD.sandbox_id)) + 60) WHERE owner = OLD.owner AND kind = 'events'; END;
CREATE TRIGGER history_added AFTER INSERT ON history BEGIN INSERT INTO kept (owner, kind, bytes) VALUES (NEW.owner, 'history', length(CAST(NEW.command AS BLOB)) + 2 * length(CAST(NEW.key AS BLOB)) + 2 * (length(NEW.owner) + length(NEW.sandbox_id)) + 60) ON CONFLICT (owner, kind) DO UPDATE SET bytes = bytes + excluded.bytes; END;
CREATE TRIGGER history_gone AFTER DELETE ON history BEGIN UPDATE kept SET bytes = bytes - (length(CAST(OLD.command AS BLOB)) + 2 * length(CAST(OLD.key AS BLOB)) + 2 * (length(OLD.owner) + length(OLD.sandbox_id)) + 60) WHERE owner = OLD.owner AND kind = 'history'; END;
CREATE TRIGGER once_added AFTER INSERT ON once BEGIN INSERT INTO kept (owner, kind, bytes) VALUES (NEW.owner, 'once', 2 * length(CAST(NEW.request_id AS BLOB)) + length(NEW.daemon) + 2 * (length(NEW.owner) + length(NEW.sandbox_id)) + 60) ON CONFLICT (owner, kind) DO UPDATE SET bytes = bytes + excluded.bytes; END;
CREATE TRIGGER once_gone AFTER DELETE ON once BEGIN UPDATE kept SET bytes = bytes - (2 * length(CAST(OLD.request_id AS BLOB)) + length(OLD.daemon) + 2 * (length(OLD.owner) + length(OLD.sandbox_id)) + 60) WHERE owner = OLD.owner AND kind = 'once'; END;
CREATE TRIGGER history_changed AFTER UPDATE OF command ON history BEGIN UPDATE kept SET bytes = bytes - (length(CAST(OLD.command AS BLOB)) + 2 * length(CAST(OLD.key AS BLOB)) + 2 * (length(OLD.owner) + length(OLD.sandbox_id)) + 60) WHERE owner = OLD.owner AND kind = 'history';INSERT INTO kept (owner, kind, bytes) VALUES (NEW.owner, 'history', length(CAST(NEW.command AS BLOB)) + 2 * length(CAST(NEW.key AS BLOB)) + 2 * (length(NEW.owner) + length(NEW.sandbox_id)) + 60) ON CONFLICT (owner, kind) DO UPDATE SET bytes = bytes + excluded.bytes; END;
CREATE TRIGGER sandboxes_ended AFTER UPDATE OF state ON sandboxes WHEN NEW.state = 'ended' AND OLD.state <> 'ended' BEGIN INSERT INTO kept (owner, kind, bytes) VALUES (NEW.owner, 'ended', 600 + coalesce(length(CAST(NEW.end_detail AS BLOB)), 0)) ON CONFLICT (owner, kind) DO UPDATE SET bytes = bytes + excluded.bytes; END;
CREATE TRIGGER sandboxes_gone AFTER DELETE ON sandboxes WHEN OLD.state = 'ended' BEGIN UPDATE kept SET bytes = bytes - (600 + coalesce(length(CAST(OLD.end_detail AS BLOB)), 0)) WHERE owner = OLD.owner AND kind = 'ended'; END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',4);
INSERT INTO "sqlite_sequence" VALUES('tickets',1);
COMMIT;
PRAGMA user_version=7;
