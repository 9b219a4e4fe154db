BEGIN TRANSACTION;
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
	container_id VARCHAR, 
	worker_id VARCHAR, 
	created_at FLOAT NOT NULL, 
	ip_address VARCHAR, 
	idle_since FLOAT NOT NULL, 
	boot_id VARCHAR NOT NULL, 
	end_reason VARCHAR, 
	ended_at FLOAT, 
	PRIMARY KEY (sandbox_id)
);
INSERT INTO "sandboxes" VALUES('live1','ready','c1',NULL,1.0,NULL,2.0,'b',NULL,NULL);
INSERT INTO "sandboxes" VALUES('ended1','ended',NULL,NULL,1.0,NULL,2.0,'b','idle',1700000000.0);
CREATE INDEX leases_by_sandbox ON leases (sandbox_id);
CREATE INDEX leases_by_worker ON leases (worker_id);
COMMIT;
PRAGMA user_version=2;
