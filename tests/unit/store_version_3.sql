BEGIN TRANSACTION;
CREATE TABLE events (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	sandbox_id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	event VARCHAR NOT NULL, 
	facts JSON NOT NULL
);
INSERT INTO "events" VALUES(1,'ended1','bob',1000000000.0,'ended','{"reason": "idle"}');
CREATE TABLE history (
	sandbox_id VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	command JSON NOT NULL, 
	PRIMARY KEY (sandbox_id, "key"), 
	FOREIGN KEY(sandbox_id) REFERENCES sandboxes (sandbox_id) ON DELETE CASCADE
);
INSERT INTO "history" VALUES('ended1','k',1.0,'{"command": "make"}');
CREATE TABLE idempotency (
	owner VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	sandbox_id VARCHAR NOT NULL, 
	PRIMARY KEY (owner, "key"), 
	FOREIGN KEY(sandbox_id) REFERENCES sandboxes (sandbox_id) ON DELETE CASCADE
);
INSERT INTO "idempotency" VALUES('alice','key','print','live1');
CREATE TABLE leases (
	lease_id VARCHAR NOT NULL, 
	sandbox_id VARCHAR NOT NULL, 
	worker_id VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	PRIMARY KEY (lease_id), 
	FOREIGN KEY(sandbox_id) REFERENCES sandboxes (sandbox_id) ON DELETE CASCADE
);
INSERT INTO "leases" VALUES('l1','live1','w','client');
CREATE TABLE once (
	sandbox_id VARCHAR NOT NULL, 
	request_id VARCHAR NOT NULL, 
	daemon VARCHAR NOT NULL, 
	PRIMARY KEY (sandbox_id, request_id), 
	FOREIGN KEY(sandbox_id) REFERENCES sandboxes (sandbox_id) ON DELETE CASCADE
);
INSERT INTO "once" VALUES('live1','r','agent');
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
	image VARCHAR NOT NULL, 
	isolation VARCHAR NOT NULL, 
	network VARCHAR NOT NULL, 
	cpus FLOAT NOT NULL, 
	memory_mb INTEGER NOT NULL, 
	pids INTEGER NOT NULL, 
	disk_mb INTEGER, 
	pool_key VARCHAR, 
	token_generation INTEGER NOT NULL, 
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
INSERT INTO "sandboxes" VALUES('live1','ready','alice','c1',NULL,1.0,1.0,'b',NULL,'','standard','bridge',0.0,0,0,NULL,NULL,3,'{"team": "blue"}',NULL,NULL,3600.0,'delete',2.0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "sandboxes" VALUES('ended1','ended','bob',NULL,NULL,1.0,1.0,'b',NULL,'','standard','bridge',0.0,0,0,NULL,NULL,0,'{}',NULL,NULL,3600.0,'delete',2.0,NULL,'idle',NULL,NULL,1700000000.0);
CREATE TABLE tickets (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	owner VARCHAR NOT NULL, 
	worker_id VARCHAR NOT NULL, 
	turn INTEGER NOT NULL, 
	valid_until FLOAT NOT NULL
);
CREATE INDEX sandboxes_by_state ON sandboxes (state);
CREATE INDEX sandboxes_by_end ON sandboxes (ended_at);
CREATE INDEX events_by_sandbox ON events (sandbox_id, number);
CREATE INDEX events_by_time ON events (at);
CREATE INDEX leases_by_worker ON leases (worker_id);
CREATE INDEX leases_by_sandbox ON leases (sandbox_id);
CREATE INDEX idempotency_by_sandbox ON idempotency (sandbox_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',1);
COMMIT;
PRAGMA user_version=3;
