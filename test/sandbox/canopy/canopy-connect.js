// What stands in for Canopy's browser SDK: as much of its interface as is documented, and a dialog that logs in at the
// sandbox. No real login goes through it.
"use strict";
(() => {
	const home = new URL(document.currentScript.src).origin;
	const events = ["authenticationSuccess", "exit", "error", "destroy"];

	function field(form, label, name, type) {
		const row = form.appendChild(document.createElement("p"));
		const text = row.appendChild(document.createElement("label"));
		text.textContent = label + " ";
		const input = text.appendChild(document.createElement("input"));
		Object.assign(input, { name, type, required: true, autocomplete: "off" });
	}

	function button(form, label, type) {
		const made = form.appendChild(document.createElement("button"));
		Object.assign(made, { textContent: label, type });
		return made;
	}

	window.CanopyConnect = {
		create(options) {
			if (!options || !options.publicAlias) throw new Error("publicAlias is required");
			const listeners = Object.fromEntries(events.map((event) => {
				const option = options["on" + event[0].toUpperCase() + event.slice(1)];
				return [event, option ? [option] : []];
			}));
			const emit = (event, data) => listeners[event].forEach((listener) => listener(data));
			const dialog = document.createElement("dialog");
			const form = dialog.appendChild(document.createElement("form"));
			field(form, "Username", "username", "text");
			field(form, "Password", "password", "password");
			const problem = form.appendChild(document.createElement("p"));
			problem.setAttribute("role", "alert");
			button(form, "Log in", "submit");
			button(form, "Cancel", "button").addEventListener("click", () => handle.close());
			dialog.setAttribute("aria-label", "Log in at your insurance company");
			dialog.style.maxWidth = "90vw";
			dialog.addEventListener("close", () => emit("exit"));
			form.addEventListener("submit", async (event) => {
				event.preventDefault();
				problem.textContent = "";
				try {
					const answer = await fetch(home + "/v2/login", {
						method: "POST",
						body: JSON.stringify({
							public_alias: options.publicAlias, meta_data: options.pullMetaData,
							username: form.username.value, password: form.password.value,
						}),
					});
					const told = await answer.json();
					if (answer.status === 401) {
						problem.textContent = "That is not right.";
						return;
					}
					if (!answer.ok) throw new Error(told.error);
					emit("authenticationSuccess", { pull: { pull_id: told.pull_id } });
				} catch (error) {
					emit("error", { message: error.message });
				}
				handle.close();
			});
			const handle = {
				open() {
					document.body.append(dialog);
					form.reset();
					dialog.showModal();
				},
				close() { dialog.close(); },
				destroy() {
					dialog.remove();
					emit("destroy");
				},
				on(event, listener) { listeners[event].push(listener); },
			};
			return handle;
		},
	};
})();
